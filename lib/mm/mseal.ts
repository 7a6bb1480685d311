// SPDX-License-Identifier: GPL-2.0-only

import { PAGE_ALIGN } from '../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../machine.ts';
import { EINTR, EINVAL, ENOMEM } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { type mm_struct, type vm_area_struct, VM_SEALED } from './mm_types.ts';
import { mmap_write_lock_killable, mmap_write_unlock, vma_start_write } from './mmap_lock.ts';
import { PAGE_SIZE } from './physmem.ts';
import { vma_modify_flags } from './vma/merge.ts';
import { vm_flags_set, vma_find, vma_is_sealed, vma_iter_load, vma_iterator, vma_prev } from './vma/vma.ts';

/** True if part of [start, end) is not mapped (mm/mseal.c: range_contains_unmapped()). */
function range_contains_unmapped(mm: mm_struct, start: number, end: number): boolean {
  const vmi = new vma_iterator(mm, start);
  let prev_end = start;
  for (let vma = vma_find(vmi, end); vma !== null; vma = vma_find(vmi, end)) {
    if (vma.vm_start > prev_end) return true;
    prev_end = vma.vm_end;
  }
  return prev_end < end;
}

/** Seals [start, end), which has no holes (mm/mseal.c: __mseal_range()). */
function* __mseal_range(m: Machine, mm: mm_struct, start: number, end: number): Gen<number> {
  const vmi = new vma_iterator(mm, start);
  const first = vma_iter_load(vmi) as vm_area_struct;
  let prev = vma_prev(vmi);
  if (start > first.vm_start) prev = first;
  for (let vma = vma_find(vmi, end); vma !== null; vma = vma_find(vmi, end)) {
    if (vma_is_sealed(vma)) {
      prev = vma;
      continue;
    }
    const from = Math.max(vma.vm_start, start);
    const flags = { flags: vma.vm_flags | VM_SEALED };
    const sealed = yield* vma_modify_flags(m, vmi, prev, vma, from, Math.min(vma.vm_end, end), flags);
    if (typeof sealed === 'number') return sealed;
    yield* vma_start_write(m, sealed);
    vm_flags_set(sealed, VM_SEALED);
    prev = sealed;
  }
  return 0;
}

/** Seals what is mapped at [start, end) (mm/mseal.c: mseal_range()). */
function* mseal_range(m: Machine, start: number, end: number): Gen<number> {
  const mm = m.current.mm as mm_struct;
  if (yield* mmap_write_lock_killable(m, mm)) return -EINTR;
  const err = range_contains_unmapped(mm, start, end) ? -ENOMEM : yield* __mseal_range(m, mm, start, end);
  mmap_write_unlock(m, mm);
  return err;
}

/**
 * The mseal system call: what is mapped in the range stays as it is until the address space ends. Returns -ENOMEM for a
 * hole (mm/mseal.c: mseal()).
 */
export function* sys_mseal(m: Machine, start: number, len: number, flags: number): Gen<number> {
  if (flags !== 0) return -EINVAL;
  if (start % PAGE_SIZE !== 0) return -EINVAL;
  const len_aligned = PAGE_ALIGN(len);
  const end = start + len_aligned;
  // sums of 2^64 and more wrap around upstream, to an end before the start or to a length of zero
  if (len_aligned >= 2 ** 64 || end >= 2 ** 64) return -EINVAL;
  if (end === start) return 0;
  return yield* mseal_range(m, start, end);
}
