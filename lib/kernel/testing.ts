// SPDX-License-Identifier: GPL-2.0-only

import { audit } from '../audit.ts';
import { boot } from '../boot.ts';
import type { Machine, MachineConfig } from '../machine.ts';
import type { mm_struct } from '../mm/mm_types.ts';
import { start_process } from './exec.ts';
import { wait_status } from './exit.ts';
import type { UserCode } from './fork/fork.ts';
import type { Gen } from './gen.ts';
import { task_struct } from './sched/core.ts';
import { UserSignal } from './signal.ts';

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

/** Runs user code as a process until every task is done. Returns its wait(2) status. NON-KERNEL. */
export function run_process(m: Machine, code: UserCode, name = 'test'): number {
  const t = start_process(m, name, code);
  m.sched.run(() => m.sched.tasks.length === 0);
  return wait_status(t);
}

/** Assertions that the helpers use. tap provides them; lib knows no test runner. NON-KERNEL. */
export interface Asserts {
  equal(found: unknown, wanted: unknown, ...message: [] | [string]): boolean;
  same(found: unknown, wanted: unknown, ...message: [] | [string]): boolean;
}

/**
 * Runs a process that has to exit with 0, on a machine that afterwards passes the audit and has no warnings.
 * NON-KERNEL.
 */
export function run_clean(
  t: Asserts,
  m: Machine,
  body: (m: Machine, mm: mm_struct) => Gen<void>,
  name = 'test',
): Machine {
  t.equal(
    run_process(m, () => body(m, m.current.mm as mm_struct), name),
    0,
    'the process ran to its end',
  );
  t.same([m.log.warnings, m.log.oopses], [[], []]);
  t.same(audit(m), []);
  return m;
}

/** Returns the signal that an access by user code raises, or 0. NON-KERNEL. */
export function* signal_of(access: Gen<unknown>): Gen<number> {
  try {
    yield* access;
  } catch (e) {
    if (e instanceof UserSignal) return e.sig;
    throw e;
  }
  return 0;
}

/** Runs kernel code that never waits, and so needs no task. Returns its value. NON-KERNEL. */
export function at_once<T>(gen: Gen<T>): T {
  const r = gen.next();
  if (!r.done) throw new Error(`waits for ${r.value.what}`);
  return r.value;
}
