// SPDX-License-Identifier: GPL-2.0-only

import { spinlock } from '../../../../kernel/locking/spinlock.ts';
import { PAGE_SIZE } from '../../../../mm/physmem.ts';

// Page table entries (pte_t, pmd_t, pud_t and softleaf_t) are plain numbers: FLAG_BITS low bits of flags, and above
// them the pfn of a present entry or the offset of a non-present one (below 2^32). An entry is therefore one exact
// double, reads and writes of a Float64Array are as cheap as those of a lo/hi pair, and `entry & FLAG` works because
// JavaScript's bit operators use the low 32 bits. The bit positions differ from x86-64's; leaf_as_pte.ts has the cases
// where that would show.

const FLAG_BITS = 20;
const FLAG_SPAN = 1 << FLAG_BITS;
const FLAG_MASK = FLAG_SPAN - 1;

export const _PAGE_PRESENT = 1 << 0;
export const _PAGE_RW = 1 << 1;
export const _PAGE_USER = 1 << 2;
/** In a migration entry: SWP_MIG_YOUNG. */
export const _PAGE_ACCESSED = 1 << 3;
/** In a migration entry: SWP_MIG_DIRTY. */
export const _PAGE_DIRTY = 1 << 4;
/** A huge mapping by a pmd or pud. */
export const _PAGE_PSE = 1 << 5;
export const _PAGE_PROTNONE = 1 << 6;
export const _PAGE_SPECIAL = 1 << 7;
export const _PAGE_SOFT_DIRTY = 1 << 8;
export const _PAGE_UFFD_WP = 1 << 9;
export const _PAGE_NX = 1 << 10;
/** A non-present entry that is not none: a swap, migration or device entry, or a marker. */
export const _PAGE_LEAF = 1 << 11;
/** pte_swp_exclusive(). */
const _PAGE_SWP_EXCLUSIVE = 1 << 12;
export const LEAF_TYPE_SHIFT = 13;
export const LEAF_TYPE_MASK = 31 << LEAF_TYPE_SHIFT;
/** A pgd, pud or pmd entry that points to a lower table. */
export const _PAGE_TABLE = 1 << 18;

export const PTRS_PER_PTE = 512;
export const PTRS_PER_PMD = 512;
export const PMD_SHIFT = 21;
export const PMD_SIZE = 2 * 1024 * 1024;
export const PUD_SIZE = 1024 * 1024 * 1024;
export const PGDIR_SIZE = 512 * PUD_SIZE;
export const HPAGE_PMD_ORDER = 9;
export const HPAGE_PMD_NR = 512;
export const HPAGE_PMD_SIZE = PMD_SIZE;
/** First address above user space (arch/x86/include/asm/page_64_types.h: TASK_SIZE_MAX). */
export const TASK_SIZE = 0x7ffffffff000;

/**
 * A page table of any level. Upstream's entry pointers are (table, index) pairs here (include/linux/mm_types.h: struct
 * ptdesc).
 */
export class ptdesc {
  readonly entry = new Float64Array(512);
  /** Lower tables, in tables above the pte level. */
  readonly child: (ptdesc | null)[] | null;
  /** 1: pte table, 2: pmd table, 3: pud table, 4: pgd. */
  readonly level: number;
  /** The page that the table occupies. */
  readonly page: number;
  readonly ptl: spinlock;
  /** Deposited page tables for the huge pmds of this pmd table, last in first out (pmd_huge_pte). */
  readonly pmd_huge_pte: ptdesc[] = [];

  constructor(level: number, page: number) {
    this.level = level;
    this.page = page;
    this.child = level > 1 ? new Array<ptdesc | null>(512).fill(null) : null;
    this.ptl = new spinlock(level === 1 ? 'ptl' : level === 2 ? 'pmd ptl' : 'pud ptl');
  }
}

/** Returns the index of the address in its pte table (include/linux/pgtable.h: pte_index()). */
export function pte_index(addr: number): number {
  return (addr / PAGE_SIZE) & 511;
}

/** Returns the index of the address in its pmd table (include/linux/pgtable.h: pmd_index()). */
export function pmd_index(addr: number): number {
  return (addr / PMD_SIZE) & 511;
}

/** Returns the index of the address in its pud table (include/linux/pgtable.h: pud_index()). */
export function pud_index(addr: number): number {
  return (addr / PUD_SIZE) & 511;
}

/** Returns the index of the address in the pgd (include/linux/pgtable.h: pgd_index()). */
export function pgd_index(addr: number): number {
  return (addr / PGDIR_SIZE) & 511;
}

/** Rounds the address down to a page (include/linux/mm.h: PAGE_ALIGN_DOWN()). */
export function PAGE_ALIGN_DOWN(addr: number): number {
  return addr - (addr % PAGE_SIZE);
}

/** Rounds the address up to a page (include/linux/mm.h: PAGE_ALIGN()). */
export function PAGE_ALIGN(addr: number): number {
  return PAGE_ALIGN_DOWN(addr + PAGE_SIZE - 1);
}

/** Rounds x down to a multiple of a (include/vdso/align.h: ALIGN_DOWN()). */
export function ALIGN_DOWN(x: number, a: number): number {
  return x - (x % a);
}

/** Rounds x up to a multiple of a (include/vdso/align.h: ALIGN()). */
export function ALIGN(x: number, a: number): number {
  return ALIGN_DOWN(x + a - 1, a);
}

/** Returns the end of the address's pmd, at most `end` (include/linux/pgtable.h: pmd_addr_end()). */
export function pmd_addr_end(addr: number, end: number): number {
  return Math.min(ALIGN_DOWN(addr, PMD_SIZE) + PMD_SIZE, end);
}

/** Returns the end of the address's pud, at most `end` (include/linux/pgtable.h: pud_addr_end()). */
export function pud_addr_end(addr: number, end: number): number {
  return Math.min(ALIGN_DOWN(addr, PUD_SIZE) + PUD_SIZE, end);
}

/** Reads a pte (include/linux/pgtable.h: ptep_get()). */
export function ptep_get(pt: ptdesc, i: number): number {
  return pt.entry[i];
}

/** Reads a pmd (include/linux/pgtable.h: pmdp_get()). */
export function pmdp_get(pmdt: ptdesc, i: number): number {
  return pmdt.entry[i];
}

/** Returns true for a mapping, also a PROT_NONE one (arch/x86/include/asm/pgtable.h: pte_present()). */
export function pte_present(pte: number): boolean {
  return (pte & (_PAGE_PRESENT | _PAGE_PROTNONE)) !== 0;
}

/** Returns true for an empty entry (arch/x86/include/asm/pgtable.h: pte_none()). */
export function pte_none(pte: number): boolean {
  return pte === 0;
}

/** Returns the pfn of a present entry (arch/x86/include/asm/pgtable.h: pte_pfn()). */
export function pte_pfn(pte: number): number {
  return Math.floor(pte / FLAG_SPAN);
}

/** Returns the flags of an entry without its pfn. NON-KERNEL: upstream's pteval flags differ in position. */
export function pte_flags(pte: number): number {
  return pte & FLAG_MASK;
}

/**
 * Builds an entry from a pfn, or the offset of a non-present entry, and flags
 * (arch/x86/include/asm/pgtable.h: pfn_pte()).
 */
export function pfn_pte(pfn: number, flags: number): number {
  return pfn * FLAG_SPAN + flags;
}

/** Sets flags of an entry. NON-KERNEL (arch/x86/include/asm/pgtable.h: pte_set_flags()). */
export function pte_set_flags(pte: number, flags: number): number {
  return pte + (flags & ~(pte & FLAG_MASK));
}

/** Clears flags of an entry. NON-KERNEL (arch/x86/include/asm/pgtable.h: pte_clear_flags()). */
export function pte_clear_flags(pte: number, flags: number): number {
  return pte - (pte & flags);
}

/** Returns true if the entry is writable (arch/x86/include/asm/pgtable.h: pte_write()). */
export function pte_write(pte: number): boolean {
  return (pte & _PAGE_RW) !== 0;
}

/** Returns true if the entry is dirty (arch/x86/include/asm/pgtable.h: pte_dirty()). */
export function pte_dirty(pte: number): boolean {
  return (pte & _PAGE_DIRTY) !== 0;
}

/** Returns true if the entry was accessed (arch/x86/include/asm/pgtable.h: pte_young()). */
export function pte_young(pte: number): boolean {
  return (pte & _PAGE_ACCESSED) !== 0;
}

/** Returns true for a mapping without a refcounted struct page (arch/x86/include/asm/pgtable.h: pte_special()). */
export function pte_special(pte: number): boolean {
  return (pte & _PAGE_SPECIAL) !== 0;
}

/** Returns true for a PROT_NONE mapping (arch/x86/include/asm/pgtable.h: pte_protnone()). */
export function pte_protnone(pte: number): boolean {
  return (pte & (_PAGE_PRESENT | _PAGE_PROTNONE)) === _PAGE_PROTNONE;
}

/** Sets the write bit (arch/x86/include/asm/pgtable.h: pte_mkwrite_novma()). */
export function pte_mkwrite(pte: number): number {
  return pte_set_flags(pte, _PAGE_RW);
}

/** Clears the write bit (arch/x86/include/asm/pgtable.h: pte_wrprotect()). */
export function pte_wrprotect(pte: number): number {
  return pte_clear_flags(pte, _PAGE_RW);
}

/** Sets the dirty bit (arch/x86/include/asm/pgtable.h: pte_mkdirty()). */
export function pte_mkdirty(pte: number): number {
  return pte_set_flags(pte, _PAGE_DIRTY | _PAGE_SOFT_DIRTY);
}

/** Clears the dirty bit (arch/x86/include/asm/pgtable.h: pte_mkclean()). */
export function pte_mkclean(pte: number): number {
  return pte_clear_flags(pte, _PAGE_DIRTY);
}

/** Sets the accessed bit (arch/x86/include/asm/pgtable.h: pte_mkyoung()). */
export function pte_mkyoung(pte: number): number {
  return pte_set_flags(pte, _PAGE_ACCESSED);
}

/** Clears the accessed bit (arch/x86/include/asm/pgtable.h: pte_mkold()). */
export function pte_mkold(pte: number): number {
  return pte_clear_flags(pte, _PAGE_ACCESSED);
}

/** Sets the special bit (arch/x86/include/asm/pgtable.h: pte_mkspecial()). */
export function pte_mkspecial(pte: number): number {
  return pte_set_flags(pte, _PAGE_SPECIAL);
}

/**
 * Replaces the protection by `prot`; keeps the pfn and the accessed, dirty, special and software bits
 * (arch/x86/include/asm/pgtable.h: pte_modify()).
 */
export function pte_modify(pte: number, prot: number): number {
  const kept = _PAGE_ACCESSED | _PAGE_DIRTY | _PAGE_SPECIAL | _PAGE_SOFT_DIRTY | _PAGE_UFFD_WP | _PAGE_PSE;
  return pte - (pte & FLAG_MASK) + ((pte & kept) | (prot & ~kept));
}

/** Returns the entry with the pfn advanced by n (include/linux/pgtable.h: pte_advance_pfn()). */
export function pte_advance_pfn(pte: number, n: number): number {
  return pte + n * FLAG_SPAN;
}

/**
 * Returns true for a huge mapping, also one that pmdp_invalidate() made invisible to the hardware
 * (arch/x86/include/asm/pgtable.h: pmd_trans_huge()).
 */
export function pmd_trans_huge(pmd: number): boolean {
  return (pmd & _PAGE_PSE) !== 0;
}

/**
 * Returns true for a table pointer or a huge mapping, also an invalidated one
 * (arch/x86/include/asm/pgtable.h: pmd_present()).
 */
export function pmd_present(pmd: number): boolean {
  return (pmd & (_PAGE_PRESENT | _PAGE_PROTNONE | _PAGE_PSE)) !== 0;
}

/** Returns true for an empty pmd (arch/x86/include/asm/pgtable.h: pmd_none()). */
export function pmd_none(pmd: number): boolean {
  return pmd === 0;
}

/**
 * Returns true for a pmd that points to a pte table. NON-KERNEL: upstream checks that it is neither none, leaf nor bad.
 */
export function pmd_is_table(pmd: number): boolean {
  return (pmd & _PAGE_TABLE) !== 0;
}

/** Returns true for an entry of an upper table that maps memory (arch/x86/include/asm/pgtable.h: pmd_leaf()). */
export function pmd_leaf(pmd: number): boolean {
  return (pmd & _PAGE_PSE) !== 0;
}

// Names of the same helpers for pmds.
export {
  pte_dirty as pmd_dirty,
  pte_mkclean as pmd_mkclean,
  pte_mkdirty as pmd_mkdirty,
  pte_mkold as pmd_mkold,
  pte_mkwrite as pmd_mkwrite,
  pte_mkyoung as pmd_mkyoung,
  pte_modify as pmd_modify,
  pte_pfn as pmd_pfn,
  pte_protnone as pmd_protnone,
  pte_write as pmd_write,
  pte_wrprotect as pmd_wrprotect,
  pte_young as pmd_young,
};

// Soft-dirty and uffd-wp bits have one position here for present and non-present entries; x86 has two.

/** Returns the soft-dirty bit (include/linux/pgtable.h: pte_soft_dirty()). Also upstream's pte_swp_soft_dirty(). */
export function pte_soft_dirty(pte: number): boolean {
  return (pte & _PAGE_SOFT_DIRTY) !== 0;
}

/** Sets the soft-dirty bit (include/linux/pgtable.h: pte_mksoft_dirty()). Also upstream's pte_swp_mksoft_dirty(). */
export function pte_mksoft_dirty(pte: number): number {
  return pte_set_flags(pte, _PAGE_SOFT_DIRTY);
}

/** Returns the uffd bit (include/asm-generic/pgtable_uffd.h: pte_uffd()). Also upstream's pte_swp_uffd(). */
export function pte_uffd(pte: number): boolean {
  return (pte & _PAGE_UFFD_WP) !== 0;
}

/**
 * Sets the uffd bit and clears the write bit (arch/x86/include/asm/pgtable.h: pte_mkuffd()). Also upstream's
 * pte_swp_mkuffd(): non-present entries encode writability in their type instead.
 */
export function pte_mkuffd(pte: number): number {
  return pte_wrprotect(pte_set_flags(pte, _PAGE_UFFD_WP));
}

/** Clears the uffd bit (include/asm-generic/pgtable_uffd.h: pte_clear_uffd()). Also upstream's pte_swp_clear_uffd(). */
export function pte_clear_uffd(pte: number): number {
  return pte_clear_flags(pte, _PAGE_UFFD_WP);
}

/** Returns the exclusive bit of a swap entry (arch/x86/include/asm/pgtable.h: pte_swp_exclusive()). */
export function pte_swp_exclusive(pte: number): boolean {
  return (pte & _PAGE_SWP_EXCLUSIVE) !== 0;
}

/** Sets the exclusive bit of a swap entry (arch/x86/include/asm/pgtable.h: pte_swp_mkexclusive()). */
export function pte_swp_mkexclusive(pte: number): number {
  return pte_set_flags(pte, _PAGE_SWP_EXCLUSIVE);
}

/** Clears the exclusive bit of a swap entry (arch/x86/include/asm/pgtable.h: pte_swp_clear_exclusive()). */
export function pte_swp_clear_exclusive(pte: number): number {
  return pte_clear_flags(pte, _PAGE_SWP_EXCLUSIVE);
}
