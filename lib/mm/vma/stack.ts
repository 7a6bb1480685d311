// SPDX-License-Identifier: GPL-2.0-only

import { STACK_LIMIT } from '../../arch/x86/mm/fault.ts';
import { PAGE_ALIGN_DOWN } from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../boot.ts';
import { EFAULT, ENOMEM, EPERM } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { type anon_vma, type vm_area_struct, VM_GROWSDOWN, VM_LOCKED } from '../mm_types.ts';
import { vm_stat_account } from '../mmap/find_vma.ts';
import { mmap_min_addr, stack_guard_gap } from '../mmap/unmapped_area.ts';
import { mmap_assert_write_locked, vma_start_write } from '../mmap_lock.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { anon_vma_lock_write, anon_vma_prepare, anon_vma_unlock_write } from '../rmap/anon_vma.ts';
import { security_vm_enough_memory_mm } from '../util.ts';
import { vma_is_accessible, vma_iterator, vma_prev } from './vma.ts';

/**
 * Charges the growth of a stack to `size` bytes by `grow` pages. Returns 0 or -ENOMEM (mm/vma.c: acct_stack_growth()).
 * Leaves out the limits of address space and locked memory.
 */
function acct_stack_growth(m: Machine, vma: vm_area_struct, size: number, grow: number): number {
  if (size > STACK_LIMIT) return -ENOMEM;
  return security_vm_enough_memory_mm(m, vma.vm_mm, grow) !== 0 ? -ENOMEM : 0;
}

/**
 * Extends a stack down to the address, with the mmap_lock held for writing. Returns 0 or -errno (mm/vma.c:
 * expand_downwards()).
 */
export function* expand_downwards(m: Machine, vma: vm_area_struct, addr: number): Gen<number> {
  const mm = vma.vm_mm;
  if ((vma.vm_flags & VM_GROWSDOWN) === 0) return -EFAULT;
  mmap_assert_write_locked(mm);
  const address = PAGE_ALIGN_DOWN(addr);
  if (address < mmap_min_addr) return -EPERM;
  const prev = vma_prev(new vma_iterator(mm, vma.vm_start));
  if (
    prev !== null &&
    (prev.vm_flags & VM_GROWSDOWN) === 0 &&
    vma_is_accessible(prev) &&
    address - prev.vm_end < stack_guard_gap
  )
    return -ENOMEM;
  if (yield* anon_vma_prepare(m, vma)) return -ENOMEM;
  yield* vma_start_write(m, vma);
  const av = vma.anon_vma as anon_vma;
  yield* anon_vma_lock_write(m, av);
  let error = 0;
  if (address < vma.vm_start) {
    const grow = (vma.vm_start - address) / PAGE_SIZE;
    error = grow <= vma.vm_pgoff ? acct_stack_growth(m, vma, vma.vm_end - address, grow) : -ENOMEM;
    if (error === 0) {
      if (vma.vm_flags & VM_LOCKED) mm.locked_vm += grow;
      vm_stat_account(mm, vma.vm_flags, grow);
      vma.vm_start = address;
      vma.vm_pgoff -= grow;
      vma.vm_anon_pgoff -= grow;
    }
  }
  anon_vma_unlock_write(m, av);
  return error;
}
