// SPDX-License-Identifier: GPL-2.0-only
// Reaps the memory of a dying process without waiting for its exit. The OOM killer and its reaper thread are not
// modelled.

import type { Machine } from '../machine.ts';
import { EAGAIN, EBADF, EINTR, EINVAL, ESRCH } from '../errno.ts';
import { fget } from '../fs/file.ts';
import { fput } from '../fs/file_table.ts';
import { mmdrop, mmgrab } from '../kernel/fork/mm_init.ts';
import type { Gen } from '../kernel/gen.ts';
import { fatal_signal_pending, task_struct } from '../kernel/sched/core.ts';
import { zap_vma_for_reaping } from './memory/zap.ts';
import {
  type mm_struct,
  MMF_OOM_SKIP,
  MMF_UNSTABLE,
  VM_FAULT_SIGBUS,
  VM_HUGETLB,
  VM_PFNMAP,
  VM_SHARED,
  vma_is_anonymous,
} from './mm_types.ts';
import { mmap_read_lock_killable, mmap_read_unlock } from './mmap_lock.ts';

/** Returns false if some of the memory could not be reaped without sleeping (mm/oom_kill.c: __oom_reap_task_mm()). */
function* __oom_reap_task_mm(m: Machine, mm: mm_struct): Gen<boolean> {
  let ret = true;
  // From here on reads of the address space return arbitrary contents.
  mm.flags |= MMF_UNSTABLE;
  for (const vma of mm.mm_mt.slice().reverse()) {
    if (vma.vm_flags & (VM_HUGETLB | VM_PFNMAP)) continue;
    if (!vma_is_anonymous(vma) && (vma.vm_flags & VM_SHARED) !== 0) continue;
    if ((yield* zap_vma_for_reaping(m, vma)) !== 0) ret = false;
  }
  return ret;
}

/** mm/oom_kill.c: __task_will_free_mem() */
function __task_will_free_mem(t: task_struct): boolean {
  const leader = t.group_leader;
  // A pending SIGKILL counts as upstream's SIGNAL_GROUP_EXIT, which is set when the signal is sent.
  return (
    leader.group_exit_code !== null ||
    leader.thread_group.some(fatal_signal_pending) ||
    (leader.thread_group.length === 1 && t.exiting)
  );
}

/** mm/oom_kill.c: task_will_free_mem() */
function task_will_free_mem(m: Machine, t: task_struct): boolean {
  const mm = t.mm as mm_struct;
  if (!__task_will_free_mem(t) || (mm.flags & MMF_OOM_SKIP) !== 0) return false;
  return m.sched.tasks.every((p) => p.mm !== mm || p.group_leader === t.group_leader || __task_will_free_mem(p));
}

/**
 * Reaps the memory of a process that was killed and has not exited yet. Returns 0, -EAGAIN if only part could be
 * reaped, -EINVAL for flags or a process that is not dying, or -ESRCH for one without memory (mm/oom_kill.c:
 * process_mrelease()).
 */
export function* process_mrelease(m: Machine, pidfd: number, flags: number): Gen<number> {
  if (flags !== 0) return -EINVAL;
  const f = fget(m, pidfd);
  if (f === null) return -EBADF;
  const task = f.private_data;
  fput(m, f);
  if (!(task instanceof task_struct)) return -EBADF;
  const p = task.thread_group.find((t) => t.mm !== null && t.exit_state === 'alive');
  if (p === undefined) return -ESRCH;

  const mm = p.mm as mm_struct;
  mmgrab(mm);
  let ret = 0;
  if (!task_will_free_mem(m, p)) {
    if ((mm.flags & MMF_OOM_SKIP) === 0) ret = -EINVAL;
  } else if ((yield* mmap_read_lock_killable(m, mm)) !== 0) {
    ret = -EINTR;
  } else {
    if ((mm.flags & MMF_OOM_SKIP) === 0 && !(yield* __oom_reap_task_mm(m, mm))) ret = -EAGAIN;
    mmap_read_unlock(m, mm);
  }
  mmdrop(m, mm);
  return ret;
}

/**
 * Returns VM_FAULT_SIGBUS if the OOM reaper may have zapped the address space, else 0 (include/linux/oom.h:
 * check_stable_address_space()).
 */
export function check_stable_address_space(mm: mm_struct): number {
  return mm.flags & MMF_UNSTABLE ? VM_FAULT_SIGBUS : 0;
}
