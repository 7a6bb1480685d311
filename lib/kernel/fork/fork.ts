// SPDX-License-Identifier: GPL-2.0-only

import { ret_from_fork } from '../../arch/x86/entry/user_entry.ts';
import { copy_thread } from '../../arch/x86/kernel/process.ts';
import { copy_from_user, copy_to_user } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { E2BIG, EFAULT, EINVAL, ENOMEM } from '../../errno.ts';
import { dup_fd } from '../../fs/file.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { do_exit, do_group_exit } from '../exit.ts';
import type { Gen } from '../gen.ts';
import { completion, wait_for_completion } from '../sched/completion.ts';
import { SIGCHLD, task_struct } from '../sched/core.ts';
import { UserExit, UserSignal } from '../signal.ts';
import { dup_mm, mmget } from './mm_init.ts';
import { PAGE_SIZE } from '../../mm/contents.ts';

export const CLONE_VM = 0x100;
export const CLONE_FILES = 0x400;
export const CLONE_THREAD = 0x10000;
export const CLONE_VFORK = 0x4000;
const CLONE_SIGHAND = 0x800;
const CLONE_FS = 0x200;
const CLONE_SYSVSEM = 0x40000;
const CLONE_SETTLS = 0x80000;
const CLONE_PARENT_SETTID = 0x100000;
const CLONE_CHILD_CLEARTID = 0x200000;
const CLONE_DETACHED = 0x400000;
const CLONE_CHILD_SETTID = 0x1000000;
const CLONE_CLEAR_SIGHAND = 2 ** 32;
/** Flags that have nothing to do here: one directory and no System V semaphores. */
const CLONE_WITHOUT_EFFECT = CLONE_SYSVSEM | CLONE_DETACHED;

/** User code of a task: a generator that returns its exit code, 0 to 255. NON-KERNEL. */
export type UserCode = () => Gen<number | void>;

/** Where a new task's stack, thread pointer and pids go (include/linux/sched/task.h: struct kernel_clone_args). */
export interface kernel_clone_args {
  /** signal that the parent gets when it exits */
  readonly exit_signal: number;
  /** stack pointer, 0 for the parent's */
  readonly stack: number;
  readonly parent_tid: number;
  readonly child_tid: number;
  readonly tls: number;
}

const NO_ARGS: kernel_clone_args = { exit_signal: SIGCHLD, stack: 0, parent_tid: 0, child_tid: 0, tls: 0 };
/** The low bits of clone(2)'s flags are a signal. */
const CSIGNAL = 0x100;
const CLONE_ARGS_SIZE_VER0 = 64;
const CLONE_ARGS_SIZE_VER2 = 88;
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
export function* kernel_clone(m: Machine, flags: number, child: UserCode, args = NO_ARGS): Gen<number> {
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
  if (parent.thread !== null) {
    t.thread = copy_thread(parent.thread, args.stack, flags & CLONE_SETTLS ? args.tls : 0);
    if ((flags & CLONE_VM) === 0 || flags & CLONE_VFORK) {
      t.sas_ss_sp = parent.sas_ss_sp;
      t.sas_ss_size = parent.sas_ss_size;
      t.sas_ss_flags = parent.sas_ss_flags;
    }
    if ((flags & CLONE_VM) === 0) {
      t.rseq = parent.rseq;
      t.rseq_len = parent.rseq_len;
      t.rseq_sig = parent.rseq_sig;
    }
  }
  t.blocked = parent.blocked;
  t.pwd = parent.pwd;
  t.exit_signal = args.exit_signal;
  t.set_child_tid = flags & CLONE_CHILD_SETTID ? args.child_tid : 0;
  t.clear_child_tid = flags & CLONE_CHILD_CLEARTID ? args.child_tid : 0;
  if (!thread) {
    for (const [sig, h] of parent.group_leader.handlers) t.handlers.set(sig, h);
    t.real_parent = parent.group_leader;
    parent.group_leader.children.push(t);
  }
  t.pgid = parent.pgid;
  t.user = parent.user;
  if (flags & CLONE_PARENT_SETTID) yield* copy_to_user(m, args.parent_tid, pid_bytes(t.pid), 4);
  const vfork = flags & CLONE_VFORK ? new completion('vfork') : null;
  t.vfork_done = vfork;
  m.sched.start(t, task_entry(m, child));
  if (vfork !== null) yield* wait_for_completion(m, vfork);
  return t.pid;
}

/** clone(2) and clone3(2) of a compiled program. Returns the pid or -errno (kernel/fork.c: copy_process()). */
export function* clone_program(m: Machine, flags: number, args: kernel_clone_args): Gen<number> {
  const low = flags % 2 ** 32;
  const vm = (low & CLONE_VM) !== 0;
  if ((low & CLONE_THREAD && !(low & CLONE_SIGHAND)) || (low & CLONE_SIGHAND && !vm)) return -EINVAL;
  const known =
    CLONE_VM |
    CLONE_FS |
    CLONE_FILES |
    CLONE_SIGHAND |
    CLONE_VFORK |
    CLONE_THREAD |
    CLONE_WITHOUT_EFFECT |
    CLONE_SETTLS |
    CLONE_PARENT_SETTID |
    CLONE_CHILD_CLEARTID |
    CLONE_CHILD_SETTID;
  const high = flags - low;
  if (low & ~known || (high !== 0 && high !== CLONE_CLEAR_SIGHAND))
    throw new Unmodelled(`kernel/fork.c: copy_process() with flags 0x${flags.toString(16)}`);
  if (low & (CLONE_FS | CLONE_SIGHAND) && !(low & CLONE_THREAD))
    throw new Unmodelled(`kernel/fork.c: copy_process() of a process that shares, flags 0x${flags.toString(16)}`);
  return yield* kernel_clone(
    m,
    low,
    function* () {
      const t = m.current;
      if (high !== 0) for (const [sig, h] of [...t.handlers]) if (h !== 'ignore') t.handlers.delete(sig);
      if (t.set_child_tid !== 0) yield* copy_to_user(m, t.set_child_tid, pid_bytes(t.pid), 4);
      return yield* ret_from_fork(m);
    },
    args,
  );
}

/** Bytes of a pid_t. NON-KERNEL. */
function pid_bytes(pid: number): Uint8Array {
  return new Uint8Array(new Int32Array([pid]).buffer);
}

/** clone(2) (kernel/fork.c: clone()). */
export function* sys_clone(
  m: Machine,
  clone_flags: number,
  stack: number,
  parent_tid: number,
  child_tid: number,
  tls: number,
): Gen<number> {
  const flags = (clone_flags % 2 ** 32) - (clone_flags % CSIGNAL);
  return yield* clone_program(m, flags, { exit_signal: clone_flags % CSIGNAL, stack, parent_tid, child_tid, tls });
}

/** fork(2) (kernel/fork.c: fork()). */
export function* sys_fork(m: Machine): Gen<number> {
  return yield* clone_program(m, 0, NO_ARGS);
}

/** vfork(2) (kernel/fork.c: vfork()). */
export function* sys_vfork(m: Machine): Gen<number> {
  return yield* clone_program(m, CLONE_VFORK | CLONE_VM, NO_ARGS);
}

/** clone3(2) (kernel/fork.c: clone3()). Leaves out pidfds, chosen pids and cgroups. */
export function* sys_clone3(m: Machine, uargs: number, size: number): Gen<number> {
  if (size > PAGE_SIZE) return -E2BIG;
  if (size < CLONE_ARGS_SIZE_VER0) return -EINVAL;
  const bytes = new Uint8Array(Math.max(size, CLONE_ARGS_SIZE_VER2));
  if ((yield* copy_from_user(m, bytes, uargs, size)) !== 0) return -EFAULT;
  if (bytes.subarray(CLONE_ARGS_SIZE_VER2).some((byte) => byte !== 0)) return -E2BIG;
  const v = new DataView(bytes.buffer);
  const word = (k: number): number => v.getUint32(k * 8, true) + v.getUint32(k * 8 + 4, true) * 2 ** 32;
  const [flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, , cgroup] = Array.from(
    { length: 11 },
    (_, k) => word(k),
  ) as [number, number, number, number, number, number, number, number, number, number, number];
  if (set_tid !== 0 || cgroup !== 0 || (flags & 0x1000) !== 0)
    throw new Unmodelled(`kernel/fork.c: clone3() with a pidfd (0x${pidfd.toString(16)}), chosen pids or a cgroup`);
  if (exit_signal >= CSIGNAL || flags % CSIGNAL !== 0 || (stack === 0) !== (stack_size === 0)) return -EINVAL;
  if (flags & (CLONE_THREAD | 0x8000) && exit_signal !== 0) return -EINVAL;
  return yield* clone_program(m, flags, {
    exit_signal,
    stack: stack === 0 ? 0 : stack + stack_size,
    parent_tid,
    child_tid,
    tls,
  });
}

/** set_tid_address(2) (kernel/fork.c: set_tid_address()). */
export function sys_set_tid_address(m: Machine, tidptr: number): number {
  m.current.clear_child_tid = tidptr;
  return m.current.pid;
}
