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
