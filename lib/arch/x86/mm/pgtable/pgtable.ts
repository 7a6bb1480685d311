// SPDX-License-Identifier: GPL-2.0-only

import { spinlock } from '../../../../kernel/locking/spinlock.ts';

// Page-table entries (pte_t, pmd_t, pud_t and softleaf_t alike) are plain numbers: FLAG_BITS low bits of flags, and
// above them the pfn of a present entry or the offset of a software leaf (below 2^32). So an entry is one exact double,
// reads and writes of Float64Array cost what a lo/hi pair costs, and `entry & FLAG` works since JavaScript's bit
// operators take the low 32 bits. pgtable_arch.ts has the real x86-64 bit layout.

const FLAG_BITS = 20;
const FLAG_SPAN = 1 << FLAG_BITS;
const FLAG_MASK = FLAG_SPAN - 1;

export const _PAGE_PRESENT = 1 << 0;
export const _PAGE_RW = 1 << 1;
export const _PAGE_USER = 1 << 2;
/** in a migration entry: SWP_MIG_YOUNG */
export const _PAGE_ACCESSED = 1 << 3;
/** in a migration entry: SWP_MIG_DIRTY */
export const _PAGE_DIRTY = 1 << 4;
/** a huge leaf in a pmd or pud */
export const _PAGE_PSE = 1 << 5;
export const _PAGE_PROTNONE = 1 << 6;
export const _PAGE_SPECIAL = 1 << 7;
export const _PAGE_SOFT_DIRTY = 1 << 8;
export const _PAGE_UFFD_WP = 1 << 9;
export const _PAGE_NX = 1 << 10;
/** a software leaf: not present, not none */
export const _PAGE_LEAF = 1 << 11;
/** pte_swp_exclusive() */
const _PAGE_SWP_EXCLUSIVE = 1 << 12;
export const LEAF_TYPE_SHIFT = 13;
export const LEAF_TYPE_MASK = 31 << LEAF_TYPE_SHIFT;
/** a pgd, p4d, pud or pmd entry that points at a lower table */
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
/** first address above user space (arch/x86/include/asm/page_64_types.h: TASK_SIZE_MAX) */
export const TASK_SIZE = 0x7ffffffff000;

/**
 * A page table of any level; an entry pointer of upstream is a (table, index) pair here (include/linux/mm_types.h:
 * struct ptdesc).
 */
export class ptdesc {
  readonly entry = new Float64Array(512);
  /** lower tables, in tables above the pte level */
  readonly child: (ptdesc | null)[] | null;
  /** 1: ptes, 2: pmds, 3: puds, 4: pgds */
  readonly level: number;
  /** the page that the table occupies */
  readonly page: number;
  readonly ptl: spinlock;
  /** deposited page tables for the huge pmds in this pmd table, last in first out (pmd_huge_pte) */
  readonly pmd_huge_pte: ptdesc[] = [];

  constructor(level: number, page: number) {
    this.level = level;
    this.page = page;
    this.child = level > 1 ? new Array<ptdesc | null>(512).fill(null) : null;
    this.ptl = new spinlock(level === 1 ? 'ptl' : level === 2 ? 'pmd ptl' : 'pud ptl');
  }
}

/** Index of the address in its pte table (include/linux/pgtable.h: pte_index()). */
export function pte_index(addr: number): number {
  return (addr / 4096) & 511;
}

/** Index of the address in its pmd table (include/linux/pgtable.h: pmd_index()). */
export function pmd_index(addr: number): number {
  return (addr / PMD_SIZE) & 511;
}

/** Index of the address in its pud table (include/linux/pgtable.h: pud_index()). */
export function pud_index(addr: number): number {
  return (addr / PUD_SIZE) & 511;
}

/** Index of the address in the top table (include/linux/pgtable.h: pgd_index()). */
export function pgd_index(addr: number): number {
  return (addr / PGDIR_SIZE) & 511;
}

/** The address rounded down to a page (include/linux/mm.h: PAGE_ALIGN_DOWN()). */
export function PAGE_ALIGN_DOWN(addr: number): number {
  return addr - (addr % 4096);
}

/** The address rounded up to a page (include/linux/mm.h: PAGE_ALIGN()). */
export function PAGE_ALIGN(addr: number): number {
  return PAGE_ALIGN_DOWN(addr + 4095);
}

/** x rounded down to a multiple of a (include/vdso/align.h: ALIGN_DOWN()). */
export function ALIGN_DOWN(x: number, a: number): number {
  return x - (x % a);
}

/** x rounded up to a multiple of a (include/vdso/align.h: ALIGN()). */
export function ALIGN(x: number, a: number): number {
  return ALIGN_DOWN(x + a - 1, a);
}

/** End of the address's pmd, or `end` if that is nearer (include/linux/pgtable.h: pmd_addr_end()). */
export function pmd_addr_end(addr: number, end: number): number {
  return Math.min(ALIGN_DOWN(addr, PMD_SIZE) + PMD_SIZE, end);
}

/** End of the address's pud, or `end` if that is nearer (include/linux/pgtable.h: pud_addr_end()). */
export function pud_addr_end(addr: number, end: number): number {
  return Math.min(ALIGN_DOWN(addr, PUD_SIZE) + PUD_SIZE, end);
}

/** The entry at (table, index) (include/linux/pgtable.h: ptep_get()). */
export function ptep_get(pt: ptdesc, i: number): number {
  return pt.entry[i];
}

/** The entry at (table, index) of a pmd table (include/linux/pgtable.h: pmdp_get()). */
export function pmdp_get(pmdt: ptdesc, i: number): number {
  return pmdt.entry[i];
}

/** True for an entry that the hardware or PROT_NONE maps (arch/x86/include/asm/pgtable.h: pte_present()). */
export function pte_present(pte: number): boolean {
  return (pte & (_PAGE_PRESENT | _PAGE_PROTNONE)) !== 0;
}

/** True for an empty entry (arch/x86/include/asm/pgtable.h: pte_none()). */
export function pte_none(pte: number): boolean {
  return pte === 0;
}

/** The pfn of a present entry (arch/x86/include/asm/pgtable.h: pte_pfn()). */
export function pte_pfn(pte: number): number {
  return Math.floor(pte / FLAG_SPAN);
}

/** The flags of an entry without its pfn. NON-KERNEL. */
export function pte_flags(pte: number): number {
  return pte & FLAG_MASK;
}

/** An entry of a pfn (or software-leaf offset) and flags (arch/x86/include/asm/pgtable.h: pfn_pte()). */
export function pfn_pte(pfn: number, flags: number): number {
  return pfn * FLAG_SPAN + flags;
}

/** The entry with the given flags set. NON-KERNEL (arch/x86/include/asm/pgtable.h: pte_set_flags()). */
export function pte_set_flags(pte: number, flags: number): number {
  return pte + (flags & ~(pte & FLAG_MASK));
}

/** The entry with the given flags cleared. NON-KERNEL (arch/x86/include/asm/pgtable.h: pte_clear_flags()). */
export function pte_clear_flags(pte: number, flags: number): number {
  return pte - (pte & flags);
}

/** True if it may be written to (arch/x86/include/asm/pgtable.h: pte_write()). */
export function pte_write(pte: number): boolean {
  return (pte & _PAGE_RW) !== 0;
}

/** True if it was written through (arch/x86/include/asm/pgtable.h: pte_dirty()). */
export function pte_dirty(pte: number): boolean {
  return (pte & _PAGE_DIRTY) !== 0;
}

/** True if it was accessed (arch/x86/include/asm/pgtable.h: pte_young()). */
export function pte_young(pte: number): boolean {
  return (pte & _PAGE_ACCESSED) !== 0;
}

/** True for a mapping without struct page semantics (arch/x86/include/asm/pgtable.h: pte_special()). */
export function pte_special(pte: number): boolean {
  return (pte & _PAGE_SPECIAL) !== 0;
}

/** True for a mapping that only keeps its page, without access (arch/x86/include/asm/pgtable.h: pte_protnone()). */
export function pte_protnone(pte: number): boolean {
  return (pte & (_PAGE_PRESENT | _PAGE_PROTNONE)) === _PAGE_PROTNONE;
}

/** arch/x86/include/asm/pgtable.h: pte_mkwrite_novma() */
export function pte_mkwrite(pte: number): number {
  return pte_set_flags(pte, _PAGE_RW);
}

/** arch/x86/include/asm/pgtable.h: pte_wrprotect() */
export function pte_wrprotect(pte: number): number {
  return pte_clear_flags(pte, _PAGE_RW);
}

/** arch/x86/include/asm/pgtable.h: pte_mkdirty() */
export function pte_mkdirty(pte: number): number {
  return pte_set_flags(pte, _PAGE_DIRTY | _PAGE_SOFT_DIRTY);
}

/** arch/x86/include/asm/pgtable.h: pte_mkclean() */
export function pte_mkclean(pte: number): number {
  return pte_clear_flags(pte, _PAGE_DIRTY);
}

/** arch/x86/include/asm/pgtable.h: pte_mkyoung() */
export function pte_mkyoung(pte: number): number {
  return pte_set_flags(pte, _PAGE_ACCESSED);
}

/** arch/x86/include/asm/pgtable.h: pte_mkold() */
export function pte_mkold(pte: number): number {
  return pte_clear_flags(pte, _PAGE_ACCESSED);
}

/** arch/x86/include/asm/pgtable.h: pte_mkspecial() */
export function pte_mkspecial(pte: number): number {
  return pte_set_flags(pte, _PAGE_SPECIAL);
}

/**
 * Takes the protection from `prot`, keeps pfn, accessed, dirty, special and software bits
 * (arch/x86/include/asm/pgtable.h: pte_modify()).
 */
export function pte_modify(pte: number, prot: number): number {
  const kept = _PAGE_ACCESSED | _PAGE_DIRTY | _PAGE_SPECIAL | _PAGE_SOFT_DIRTY | _PAGE_UFFD_WP | _PAGE_PSE;
  return pte - (pte & FLAG_MASK) + ((pte & kept) | (prot & ~kept));
}

/** The same mapping with the pfn `n` pages further (include/linux/pgtable.h: pte_advance_pfn()). */
export function pte_advance_pfn(pte: number, n: number): number {
  return pte + n * FLAG_SPAN;
}

/**
 * True for a huge leaf, also one that pmdp_invalidate() took from the hardware (arch/x86/include/asm/pgtable.h:
 * pmd_trans_huge()).
 */
export function pmd_trans_huge(pmd: number): boolean {
  return (pmd & _PAGE_PSE) !== 0;
}

/**
 * True for a table pointer or a huge mapping, also an invalidated one (arch/x86/include/asm/pgtable.h: pmd_present()).
 */
export function pmd_present(pmd: number): boolean {
  return (pmd & (_PAGE_PRESENT | _PAGE_PROTNONE | _PAGE_PSE)) !== 0;
}

/** True for an empty pmd (arch/x86/include/asm/pgtable.h: pmd_none()). */
export function pmd_none(pmd: number): boolean {
  return pmd === 0;
}

/** True for a pmd that points at a pte table. NON-KERNEL (upstream: neither none, leaf nor bad). */
export function pmd_is_table(pmd: number): boolean {
  return (pmd & _PAGE_TABLE) !== 0;
}

/**
 * True for a mapping by one entry of an upper table, present or not counted as table (arch/x86/include/asm/pgtable.h:
 * pmd_leaf()).
 */
export function pmd_leaf(pmd: number): boolean {
  return (pmd & _PAGE_PSE) !== 0;
}

// The pmd's own names for the same bits.
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

// Soft-dirty and uffd-wp, on present entries and on software leaves: one bit here, two on x86.

/** include/linux/pgtable.h: pte_soft_dirty() and pte_swp_soft_dirty() */
export function pte_soft_dirty(pte: number): boolean {
  return (pte & _PAGE_SOFT_DIRTY) !== 0;
}

/** include/linux/pgtable.h: pte_mksoft_dirty() and pte_swp_mksoft_dirty() */
export function pte_mksoft_dirty(pte: number): number {
  return pte_set_flags(pte, _PAGE_SOFT_DIRTY);
}

/** include/asm-generic/pgtable_uffd.h: pte_uffd() and pte_swp_uffd() */
export function pte_uffd(pte: number): boolean {
  return (pte & _PAGE_UFFD_WP) !== 0;
}

/**
 * Marks the entry and takes the right to write, which a software leaf has not in its flags
 * (arch/x86/include/asm/pgtable.h: pte_mkuffd() and pte_swp_mkuffd()).
 */
export function pte_mkuffd(pte: number): number {
  return pte_wrprotect(pte_set_flags(pte, _PAGE_UFFD_WP));
}

/** include/asm-generic/pgtable_uffd.h: pte_clear_uffd() and pte_swp_clear_uffd() */
export function pte_clear_uffd(pte: number): number {
  return pte_clear_flags(pte, _PAGE_UFFD_WP);
}

/** arch/x86/include/asm/pgtable.h: pte_swp_exclusive() */
export function pte_swp_exclusive(pte: number): boolean {
  return (pte & _PAGE_SWP_EXCLUSIVE) !== 0;
}

/** arch/x86/include/asm/pgtable.h: pte_swp_mkexclusive() */
export function pte_swp_mkexclusive(pte: number): number {
  return pte_set_flags(pte, _PAGE_SWP_EXCLUSIVE);
}

/** arch/x86/include/asm/pgtable.h: pte_swp_clear_exclusive() */
export function pte_swp_clear_exclusive(pte: number): number {
  return pte_clear_flags(pte, _PAGE_SWP_EXCLUSIVE);
}
