// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from './machine.ts';

/**
 * Returns true if fail-nth selects this allocation of the current task (lib/fault-inject.c: should_fail_ex()). Leaves
 * out the other attributes of fault injection.
 */
export function should_fail(m: Machine): boolean {
  const pid = m.current.pid;
  const nth = m.slab.fail_nth.get(pid) ?? 0;
  if (nth === 0) return false;
  if (nth === 1) m.slab.fail_nth.delete(pid);
  else m.slab.fail_nth.set(pid, nth - 1);
  return nth === 1;
}
