// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import type { Gen } from '../gen.ts';
import { schedule } from '../sched/core.ts';

/**
 * Sleeps for `ns` of modelled time or until a signal. Returns the time left
 * (kernel/time/sleep_timeout.c: schedule_timeout()).
 */
export function* schedule_timeout(m: Machine, ns: number, state: number): Gen<number> {
  const t = m.current;
  const end = m.sched.now + ns;
  const cancel = m.sched.timer(ns, () => m.sched.wake_up_process(t));
  yield* schedule(m, state, { what: `${ns} ns` });
  cancel();
  return Math.max(0, end - m.sched.now);
}
