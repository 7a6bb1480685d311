// SPDX-License-Identifier: GPL-2.0-only
// What the helpers for present ptes see in a software leaf on x86-64, where a leaf keeps its offset, inverted, from bit
// 9 on: code that forgot which of the two it has works on bits of the offset.

import { _PAGE_SOFT_DIRTY, pfn_pte, pte_clear_flags, pte_flags, pte_pfn } from './pgtable/pgtable.ts';

/**
 * The "pfn" of a leaf: a pte's pfn stands in bit 12 and inverted as well where the entry is not present. NON-KERNEL
 * (arch/x86/include/asm/pgtable.h: pte_pfn()).
 */
export function leaf_pte_pfn(leaf: number): number {
  return Math.floor(pte_pfn(leaf) / 8);
}

/** Bit 10 of a leaf, the inverted bit 1 of its offset. NON-KERNEL (arch/x86/include/asm/pgtable.h: pte_uffd()). */
export function leaf_pte_uffd(leaf: number): boolean {
  return (pte_pfn(leaf) & 2) === 0;
}

/**
 * Bit 11 of a leaf, the inverted bit 2 of its offset. NON-KERNEL (arch/x86/include/asm/pgtable.h: pte_soft_dirty()).
 */
export function leaf_pte_soft_dirty(leaf: number): boolean {
  return (pte_pfn(leaf) & 4) === 0;
}

/**
 * A leaf with bit 10 set and bit 1, where it keeps soft-dirty, cleared. NON-KERNEL (arch/x86/include/asm/pgtable.h:
 * pte_mkuffd()).
 */
export function leaf_pte_mkuffd(leaf: number): number {
  const offset = pte_pfn(leaf);
  return pte_clear_flags(pfn_pte(offset - (offset & 2), pte_flags(leaf)), _PAGE_SOFT_DIRTY);
}
