// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import { Unmodelled } from '../unmodelled.ts';

/**
 * setpgid(2) of a process that moves itself into a group of its own; all else is Unmodelled (kernel/sys.c: setpgid()).
 */
export function sys_setpgid(m: Machine, pid: number, pgid: number): number {
  const t = m.current.group_leader;
  if ((pid !== 0 && pid !== t.pid) || (pgid !== 0 && pgid !== t.pid))
    throw new Unmodelled('sys_setpgid() of another process or group');
  t.pgid = t.pid;
  return 0;
}
