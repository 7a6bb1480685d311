// SPDX-License-Identifier: GPL-2.0-only

import { readFileSync } from 'node:fs';

/** Ticks a second in /proc (sysconf(_SC_CLK_TCK), which Linux has fixed for user space). */
const USER_HZ = 100;
/** Without /proc: how many seconds of the clock count as one of the processor. */
const SHARE = 10;

/**
 * Returns the seconds of processor time that a process has used, which other work on the machine does not make more,
 * for limits. Returns 0 for one that is gone, and where there is no /proc a part of the clock.
 */
export function processor_seconds(pid: number | undefined): number {
  if (process.platform !== 'linux') return performance.now() / 1000 / SHARE;
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / USER_HZ;
  } catch {
    return 0;
  }
}
