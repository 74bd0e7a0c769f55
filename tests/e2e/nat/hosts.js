// The hosts of net.sh or uplink.sh, each a network namespace: kept alive while the test runs, and
// entered from outside, so that the test itself stays where it is.

import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';


/** Of net.sh. */
export const ADDRESS = { server: '203.0.113.10', turn: '203.0.113.20', devicenat: '203.0.113.30', browsernat: '203.0.113.40' };

/** Of uplink.sh: the far end of the cable. */
export const AWAY = '192.0.2.1';

/** Why the hosts cannot be made here; false where they can. */
export function impossible() {
  return process.getuid() === 0 ? false : 'network namespaces need root';
}

export class Hosts {
  /** @param {{ script?: 'net.sh' | 'uplink.sh', env?: object }} options `env`: what the script wants to be told */
  static async make({ script = 'net.sh', env = {} } = {}) {
    const hosts = new Hosts();
    // `cat` ends when we do, however that happens, and the networks end with it.
    const child = spawn('unshare', ['--net', '--mount', 'sh', fileURLToPath(new URL(script, import.meta.url)), 'sh', '-c', 'echo ready; exec cat'], {
      env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'],
    });
    hosts.child = child;
    let trouble = '';
    child.stderr.on('data', (data) => (trouble += data));
    await new Promise((resolve, reject) => {
      createInterface({ input: child.stdout }).once('line', resolve);
      child.once('exit', (code) => reject(new Error(`${script} ended with ${code}: ${trouble}`)));
    });
    return hosts;
  }

  /** The beginning of a command that runs on `host`. */
  on(host) {
    const { pid } = this.child;
    return ['nsenter', `--net=/proc/${pid}/ns/net`, `--mount=/proc/${pid}/ns/mnt`, 'ip', 'netns', 'exec', host];
  }

  /** A program in `folder` that starts `program` on `host`, for those who take one path and no more. */
  async wrapper(folder, host, program) {
    const path = join(folder, `${host}-${program.split('/').at(-1)}`);
    await writeFile(path, `#!/bin/sh\nexec ${this.on(host).join(' ')} ${program} "$@"\n`, { mode: 0o755 });
    return path;
  }

  async end() {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.stdin.end();
    await ended;
  }
}
