// SPDX-License-Identifier: GPL-2.0-only

import { copy_to_user } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import type { mm_struct } from '../../mm/mm_types.ts';
import { exit_robust_list, futex_wake } from '../futex.ts';
import type { Gen } from '../gen.ts';
import { complete } from '../sched/completion.ts';
import type { task_struct } from '../sched/core.ts';

/**
 * Tells user space that the current task no longer uses the address space: the futex at clear_child_tid, and the parent
 * of a vfork() (kernel/fork.c: mm_release()).
 */
function* mm_release(m: Machine, t: task_struct, mm: mm_struct): Gen<void> {
  if (t.clear_child_tid !== 0) {
    if (mm.mm_users > 1) {
      yield* copy_to_user(m, t.clear_child_tid, new Uint8Array(4), 4);
      yield* futex_wake(m, t.clear_child_tid, true, 1);
    }
    t.clear_child_tid = 0;
  }
  if (t.vfork_done !== null) {
    complete(m, t.vfork_done);
    t.vfork_done = null;
  }
}

/** mm_release() of a task that exits NON-KERNEL (kernel/fork.c: mm_release()). */
export function* exit_mm_release(m: Machine, t: task_struct, mm: mm_struct): Gen<void> {
  yield* exit_robust_list(m, t);
  yield* mm_release(m, t, mm);
}

/** mm_release() of a task that starts another program NON-KERNEL (kernel/fork.c: mm_release()). */
export function* exec_mm_release(m: Machine, t: task_struct, mm: mm_struct): Gen<void> {
  yield* exit_robust_list(m, t);
  yield* mm_release(m, t, mm);
}
