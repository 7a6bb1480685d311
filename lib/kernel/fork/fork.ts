// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../boot.ts';
import { ENOMEM } from '../../errno.ts';
import { dup_fd } from '../../fs/file.ts';
import { do_exit, do_group_exit } from '../exit.ts';
import type { Gen } from '../gen.ts';
import { task_struct } from '../sched/core.ts';
import { UserExit, UserSignal } from '../signal.ts';
import { dup_mm, mmget } from './mm_init.ts';

export const CLONE_VM = 0x100;
export const CLONE_FILES = 0x400;
export const CLONE_THREAD = 0x10000;

/** User code of a task: a generator that returns its exit code, 0 to 255. NON-KERNEL. */
export type UserCode = () => Gen<number | void>;

/** Runs a task: its user code, then its exit. Signals and exit(2) end the user code by an exception. NON-KERNEL. */
export function* task_entry(m: Machine, code: UserCode): Gen<void> {
  let status: number;
  let thread_only = m.current !== m.current.group_leader;
  try {
    status = (((yield* code()) ?? 0) & 255) << 8;
  } catch (e) {
    if (e instanceof UserSignal) {
      status = e.sig;
      thread_only = false;
    } else if (e instanceof UserExit) {
      status = e.status;
      thread_only = e.thread_only;
    } else throw e;
  }
  if (thread_only) yield* do_exit(m, status);
  else yield* do_group_exit(m, status);
}

/**
 * Allocates a task with a pid and a CPU; it is not started (kernel/fork.c: dup_task_struct()). It stays on its parent's
 * CPU unless the scheduler spreads tasks.
 */
export function alloc_task(m: Machine, comm: string, parent: task_struct | null = null): task_struct {
  const t = new task_struct(m.next_pid++, comm);
  t.cpu = m.sched.spread ? (t.pid - 1) % m.cpus.length : (parent?.cpu ?? 0);
  t.thread_group.push(t);
  return t;
}

/**
 * Creates a task that runs `child`: a process with copies of the address space and the descriptors, or with CLONE_VM |
 * CLONE_FILES | CLONE_THREAD a thread. Upstream's child returns from the same call; a generator cannot be copied, so
 * the caller passes the child's code. Returns the pid or -ENOMEM (kernel/fork.c: kernel_clone()).
 */
export function* kernel_clone(m: Machine, flags: number, child: UserCode): Gen<number> {
  const parent = m.current;
  const t = alloc_task(m, parent.comm, parent);
  const thread = (flags & CLONE_THREAD) !== 0;
  if (thread) {
    t.tgid = parent.tgid;
    t.group_leader = parent.group_leader;
    t.group_leader.thread_group.push(t);
  }
  if (parent.files !== null) {
    if (flags & CLONE_FILES) {
      parent.files.count++;
      t.files = parent.files;
    } else t.files = dup_fd(m, parent.files);
  }
  if (parent.mm !== null) {
    if (flags & CLONE_VM) {
      mmget(parent.mm);
      t.mm = parent.mm;
    } else {
      const mm = yield* dup_mm(m, parent.mm);
      if (mm === null) return -ENOMEM;
      t.mm = mm;
    }
  }
  if (!thread) {
    for (const [sig, h] of parent.group_leader.handlers) t.handlers.set(sig, h);
    t.real_parent = parent.group_leader;
    parent.group_leader.children.push(t);
  }
  t.pgid = parent.pgid;
  t.user = parent.user;
  m.sched.start(t, task_entry(m, child));
  return t.pid;
}
