// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import type { Gen } from './gen.ts';

/**
 * Runs deferred work at the end of each system call and in exit, when the task holds no lock
 * (kernel/task_work.c: task_work_run()).
 */
export function* task_work_run(m: Machine): Gen<void> {
  const works = m.current.task_works;
  for (let work = works.shift(); work !== undefined; work = works.shift()) yield* work();
}
