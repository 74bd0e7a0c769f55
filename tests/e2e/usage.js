// What a process takes of its machine, as Linux tells it.

import { readFileSync, readdirSync } from 'node:fs';

/** Resident memory in MB, all of it and its own, processor time in ms since the start, threads and descriptors of a process. */
export function usage(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const of = (what) => Number(new RegExp(`^${what}:\\s+(\\d+)`, 'm').exec(status)[1]);
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return {
    mb: of('VmRSS') / 1024,
    // Without the pages of programs and libraries, which the kernel takes and gives as it likes.
    ownMb: of('RssAnon') / 1024,
    threads: of('Threads'),
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    // Clock ticks are hundredths of a second on Linux.
    cpu: (Number(stat[11]) + Number(stat[12])) * 10,
  };
}

/** Processor time in ms since their starts of all living processes that `pid` has started, and they in turn, by the names of their programs. */
export function familyUsage(pid) {
  const all = new Map();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const [, name, rest] = /^\d+ \((.*)\) (.*)$/s.exec(readFileSync(`/proc/${entry}/stat`, 'utf8'));
      const stat = rest.split(' ');
      all.set(Number(entry), { name, parent: Number(stat[1]), cpu: (Number(stat[11]) + Number(stat[12])) * 10 });
    } catch {
      // It has just ended.
    }
  }
  const of = (one) => (one === pid ? true : all.has(one) && of(all.get(one).parent));
  const names = {};
  for (const [one, { name, cpu }] of all) if (one !== pid && of(one)) names[name] = (names[name] ?? 0) + cpu;
  return names;
}
