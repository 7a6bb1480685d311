// SPDX-License-Identifier: GPL-2.0-only

import { VM_EXEC, VM_READ, VM_SHARED, VM_WRITE } from '../../../mm/mm_types.ts';
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_NX,
  _PAGE_PRESENT,
  _PAGE_PROTNONE,
  _PAGE_RW,
  _PAGE_SOFT_DIRTY,
  _PAGE_SPECIAL,
  _PAGE_UFFD_WP,
  _PAGE_USER,
} from './pgtable/pgtable.ts';

const _PAGE_CHG_MASK = _PAGE_ACCESSED | _PAGE_DIRTY | _PAGE_SPECIAL | _PAGE_SOFT_DIRTY | _PAGE_UFFD_WP;

/**
 * Returns the flags of a new entry for VM_*; a private writable mapping starts read-only
 * (arch/x86/mm/pgprot.c: vm_get_page_prot()).
 */
export function vm_get_page_prot(vm_flags: number): number {
  if ((vm_flags & (VM_READ | VM_WRITE | VM_EXEC)) === 0) return _PAGE_PROTNONE | _PAGE_ACCESSED;
  let prot = _PAGE_PRESENT | _PAGE_USER | _PAGE_ACCESSED;
  if ((vm_flags & (VM_WRITE | VM_SHARED)) === (VM_WRITE | VM_SHARED)) prot |= _PAGE_RW;
  if ((vm_flags & VM_EXEC) === 0) prot |= _PAGE_NX;
  return prot;
}

/** Returns the protection for VM_* with the cache and status bits of `oldprot` (mm/vma.h: vma_pgprot_modify()). */
export function vma_pgprot_modify(oldprot: number, vm_flags: number): number {
  return (oldprot & _PAGE_CHG_MASK) | (vm_get_page_prot(vm_flags) & ~_PAGE_CHG_MASK);
}
