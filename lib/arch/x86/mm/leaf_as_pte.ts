// SPDX-License-Identifier: GPL-2.0-only
// Helpers for present ptes applied to a non-present entry, as on x86-64, which stores the offset of such an entry
// inverted from bit 9 on. They model code that does not check pte_present() and so decodes bits of the offset.

import { _PAGE_SOFT_DIRTY, pfn_pte, pte_clear_flags, pte_flags, pte_pfn } from './pgtable/pgtable.ts';

/**
 * Returns what pte_pfn() decodes from a non-present entry: bits 12 and up, inverted because the entry is not present.
 * NON-KERNEL (arch/x86/include/asm/pgtable.h: pte_pfn()).
 */
export function leaf_pte_pfn(leaf: number): number {
  return Math.floor(pte_pfn(leaf) / 8);
}

/**
 * Returns what pte_dirty() decodes from a non-present entry: bit 6 is not used, but bit 58, which is the dirty bit of
 * pages without hardware's, is bit 49 of the offset inverted. NON-KERNEL (arch/x86/include/asm/pgtable.h: pte_dirty()).
 */
export function leaf_pte_dirty(leaf: number): boolean {
  return pte_pfn(leaf) < 2 ** 49;
}

/**
 * Returns what pte_uffd() decodes from a non-present entry: bit 10, which is bit 1 of the offset inverted. NON-KERNEL
 * (arch/x86/include/asm/pgtable.h: pte_uffd()).
 */
export function leaf_pte_uffd(leaf: number): boolean {
  return (pte_pfn(leaf) & 2) === 0;
}

/**
 * Returns what pte_soft_dirty() decodes from a non-present entry: bit 11, which is bit 2 of the offset inverted.
 * NON-KERNEL (arch/x86/include/asm/pgtable.h: pte_soft_dirty()).
 */
export function leaf_pte_soft_dirty(leaf: number): boolean {
  return (pte_pfn(leaf) & 4) === 0;
}

/**
 * Returns what pte_mkuffd() makes of a non-present entry: bit 10 is set, and bit 1, its soft-dirty bit, is cleared.
 * NON-KERNEL (arch/x86/include/asm/pgtable.h: pte_mkuffd()).
 */
export function leaf_pte_mkuffd(leaf: number): number {
  const offset = pte_pfn(leaf);
  return pte_clear_flags(pfn_pte(offset - (offset & 2), pte_flags(leaf)), _PAGE_SOFT_DIRTY);
}
