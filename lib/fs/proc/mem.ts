// SPDX-License-Identifier: GPL-2.0-only

import { copy_from_user, copy_to_user } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { EFAULT, EIO } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { mmdrop, mmget_not_zero, mmgrab, mmput } from '../../kernel/fork/mm_init.ts';
import type { task_struct } from '../../kernel/sched/core.ts';
import { FOLL_WRITE } from '../../mm/gup/pin.ts';
import { access_remote_vm } from '../../mm/memory/access.ts';
import type { mm_struct } from '../../mm/mm_types.ts';
import { PAGE_SIZE } from '../../mm/physmem.ts';
import type { file_operations } from '../fs.ts';

/**
 * Reads or writes another address space page by page. Returns bytes or -errno. NON-KERNEL: upstream's mem_rw() stands in
 * fs/proc/base.c. Leaves out FOLL_FORCE: with CONFIG_PROC_MEM_FORCE_PTRACE only a tracer overrides protections, and nobody traces.
 */
function* mem_rw(
  m: Machine,
  mm: mm_struct | null,
  buf: number,
  count: number,
  addr: number,
  write: boolean,
): Gen<number> {
  if (mm === null || !mmget_not_zero(mm)) return 0;
  let copied = 0;
  while (count > 0) {
    const page = new Uint8Array(Math.min(count, PAGE_SIZE));
    if (write && (yield* copy_from_user(m, page, buf, page.length)) !== 0) {
      copied = -EFAULT;
      break;
    }
    const len = yield* access_remote_vm(m, mm, addr, page, write ? FOLL_WRITE : 0);
    if (len === 0) {
      if (copied === 0) copied = -EIO;
      break;
    }
    if (!write && (yield* copy_to_user(m, buf, page.subarray(0, len), len)) !== 0) {
      copied = -EFAULT;
      break;
    }
    buf += len;
    addr += len;
    copied += len;
    count -= len;
  }
  yield* mmput(m, mm);
  return copied;
}

/** Operations of /proc/PID/mem. NON-KERNEL: upstream's stand in fs/proc/base.c. */
export const proc_mem_operations: file_operations = {
  *open(_m, node, f): Gen<number> {
    const mm = (node.i_private as task_struct).mm;
    if (mm !== null) mmgrab(mm);
    f.private_data = mm;
    return 0;
  },
  *release(m, _node, f): Gen<number> {
    if (f.private_data !== null) mmdrop(m, f.private_data as mm_struct);
    return 0;
  },
  read: (m, f, buf, count, pos) => mem_rw(m, f.private_data as mm_struct | null, buf, count, pos, false),
  write: (m, f, buf, count, pos) => mem_rw(m, f.private_data as mm_struct | null, buf, count, pos, true),
};
