// SPDX-License-Identifier: GPL-2.0-only

import { boot, type Machine, type MachineConfig } from '../boot.ts';
import type { Gen } from './gen.ts';
import { task_struct } from './sched.ts';

/** A machine of 64 MiB without huge pages, for unit tests. NON-KERNEL. */
export function small_machine(config: MachineConfig = {}): Machine {
  return boot({ mem: 64 * 1024 * 1024, thp: 'never', ...config });
}

/** Runs kernel code as a task of the machine until every task is done or asleep for good. NON-KERNEL. */
export function run_task(m: Machine, body: () => Gen<void>, name = 'test'): task_struct {
  const t = start_task(m, body, name);
  m.sched.run(() => t.gen === null);
  return t;
}

/** Starts a task that runs kernel code; it runs once the scheduler does. NON-KERNEL. */
export function start_task(m: Machine, body: () => Gen<void>, name = 'test'): task_struct {
  const t = new task_struct(m.next_pid++, name);
  t.thread_group.push(t);
  m.sched.start(t, body());
  return t;
}
