// Across the internet: the device behind one NAT, the browser behind another, the server and coturn
// on hosts of their own. docs/turn.md describes the same for people.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { ADDRESS, Hosts, impossible } from './nat/hosts.js';
import { invitation, RemoteDevice, WITHIN } from './remote.js';
import { chromium, Member, Roomd, until } from './support.js';

const ROOM = 'far';
const SECRET = 'a secret that coturn and roomd share';

/** coturn, with nothing of what Debian configures, and its files in `folder`. */
class Turn {
  static async start(hosts, folder) {
    const turn = new Turn();
    const config = join(folder, 'turnserver.conf');
    await writeFile(config, `
listening-ip=${ADDRESS.turn}
listening-port=3478
relay-ip=${ADDRESS.turn}
min-port=49160
max-port=49200
fingerprint
use-auth-secret
static-auth-secret=${SECRET}
realm=example.org
no-tls
no-dtls
no-cli
no-multicast-peers
userdb=${join(folder, 'turndb')}
pidfile=${join(folder, 'turnserver.pid')}
log-file=stdout
simple-log
`, { mode: 0o600 });
    const [program, ...words] = [...hosts.on('turn'), 'turnserver', '-c', config];
    const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    turn.child = child;
    let log = '';
    for (const output of [child.stdout, child.stderr]) output.on('data', (data) => (log += data));
    turn.ended = new Promise((resolve) => child.once('exit', resolve));
    // It keeps its log to itself while it runs, so it is asked.
    const [asker, ...question] = [...hosts.on('server'), 'turnutils_stunclient', ADDRESS.turn];
    try {
      await until('coturn answers', async () => {
        if (child.exitCode !== null) throw new Error('it has ended');
        const asking = spawn(asker, question, { stdio: 'ignore' });
        const late = setTimeout(() => asking.kill(), 2_000);
        const code = await new Promise((resolve) => asking.once('exit', resolve));
        clearTimeout(late);
        return code === 0;
      }, { within: WITHIN, every: 200 });
    } catch (error) {
      await turn.stop();
      throw new Error(`${error.message}\n${log}`);
    }
    return turn;
  }

  async stop() {
    if (this.child.exitCode !== null) return;
    this.child.kill('SIGTERM');
    const stubborn = setTimeout(() => this.child.kill('SIGKILL'), 5_000);
    await this.ended;
    clearTimeout(stubborn);
  }
}

/** Keeps the page's connections, to ask them by which way they go. Runs in the page. */
function keepConnections() {
  const Plain = window.RTCPeerConnection;
  window.connections = [];
  window.RTCPeerConnection = class extends Plain {
    constructor(...words) {
      super(...words);
      window.connections.push(this);
    }
  };
}

/** The kinds of the two candidates by which the page's connection goes: its own, and the device's. */
function way(member) {
  return member.page.evaluate(async () => {
    for (const connection of window.connections) {
      if (connection.connectionState !== 'connected') continue;
      const report = await connection.getStats();
      for (const entry of report.values()) {
        if (entry.type !== 'transport' || !entry.selectedCandidatePairId) continue;
        const pair = report.get(entry.selectedCandidatePairId);
        const [ours, theirs] = [report.get(pair.localCandidateId), report.get(pair.remoteCandidateId)];
        return { ours: ours.candidateType, theirs: theirs.candidateType, at: [ours.address, theirs.address] };
      }
    }
    return null;
  });
}

describe('across two NATs', { skip: impossible() }, () => {
  let hosts;
  let folder;
  let turn;
  let browser;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'roomd-e2e-nat-'));
    hosts = await Hosts.make();
    turn = await Turn.start(hosts, folder);
    const program = await hosts.wrapper(folder, 'browser', process.env.CHROMIUM ?? '/usr/bin/chromium');
    browser = await chromium({ program });
  });
  after(async () => {
    await browser?.close();
    await turn?.stop();
    await hosts?.end();
    await rm(folder, { recursive: true, force: true });
  });

  /** A server with this about ICE in its configuration, the device and a browser. */
  async function meet(t, name, ice) {
    const config = join(folder, `${name}.toml`);
    await writeFile(config, ice, { mode: 0o600 });
    const server = await Roomd.start({ listen: `${ADDRESS.server}:0`, args: ['--config', config], through: hosts.on('server') });
    t.after(() => server.stop());
    const device = await RemoteDevice.start({ server, room: ROOM, name: 'Atrium', through: hosts.on('device') });
    t.after(() => device.stop());
    const ann = await Member.open(browser, await invitation(server, ROOM), {
      name: 'Ann', number: 4, devices: { width: 160, height: 90, fps: 10 }, viewport: { width: 640, height: 400 }, before: keepConnections,
    });
    t.after(() => ann.close());
    await ann.join();
    await ann.inside();
    return { device, ann };
  }

  const STUN = `[[ice.servers]]\nurls = ["stun:${ADDRESS.turn}:3478"]\n`;
  const turnServer = (secret) => `[[ice.servers]]\nurls = ["turn:${ADDRESS.turn}:3478?transport=udp"]\nsecret = ${JSON.stringify(secret)}\n`;

  test('they meet directly, with the help of STUN', { timeout: 300_000 }, async (t) => {
    const { device, ann } = await meet(t, 'direct', STUN);
    await ann.sees(device, { within: WITHIN });
    await device.exchanges('Ann');
    const found = await way(ann);
    t.diagnostic(`the way: ${JSON.stringify(found)}`);
    for (const side of [found.ours, found.theirs]) assert.match(side, /^(srflx|prflx)$/);
    assert.deepEqual(ann.errors, []);
  });

  test('they meet by relay only', { timeout: 300_000 }, async (t) => {
    const { device, ann } = await meet(t, 'relay', `[ice]\nrelay-only = true\n${turnServer(SECRET)}`);
    await ann.sees(device, { within: WITHIN });
    await device.exchanges('Ann');
    const found = await way(ann);
    t.diagnostic(`the way: ${JSON.stringify(found)}`);
    assert.equal(found.ours, 'relay');
    // What the relay of the other side sends from may be learnt from its packets first.
    assert.match(found.theirs, /^(relay|prflx)$/);
    assert.equal(found.at[1] || ADDRESS.turn, ADDRESS.turn, 'the device is seen by its relay alone');
    assert.deepEqual(ann.errors, []);
  });

  test('a TURN server with another secret is reported, and the direct way is taken', { timeout: 300_000 }, async (t) => {
    const joined = Date.now();
    const { device, ann } = await meet(t, 'wrong', `${STUN}${turnServer('not what coturn has')}`);
    const line = await until('the device says that the TURN server gives nothing', () => device.log.find((text) => text.includes('no relay candidate')), { within: WITHIN });
    t.diagnostic(`after ${Date.now() - joined} ms: ${line}`);
    assert.match(line, /203\.0\.113\.20:3478/);
    assert.match(line, /secret or password is wrong/);
    await ann.sees(device, { within: WITHIN });
    await device.exchanges('Ann');
    assert.match((await way(ann)).ours, /^(srflx|prflx)$/);
  });
});
