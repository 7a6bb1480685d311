// SPDX-License-Identifier: GPL-2.0-only

import {
  ALIGN_DOWN,
  pgd_index,
  PGDIR_SIZE,
  pmd_addr_end,
  pmd_index,
  PMD_SIZE,
  type ptdesc,
  pud_addr_end,
  pud_index,
  PUD_SIZE,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { printk, WARN_ON_ONCE } from '../../kernel/printk.ts';
import type { mm_struct } from '../mm_types.ts';
import { vma_start_write } from '../mmap_lock.ts';
import {
  type mmu_gather,
  pmd_free_tlb,
  pte_free_tlb,
  pud_free_tlb,
  tlb_change_page_size,
  tlb_free_vmas,
} from '../mmu_gather.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { unlink_anon_vmas } from '../rmap/anon_vma.ts';
import type { unmap_desc } from '../vma/unmap.ts';
import { unlink_file_vma_batch_add, unlink_file_vma_batch_final, unlink_vma_file_batch } from '../vma/vma.ts';

/**
 * Returns the last byte before `end`, where 0 is the top of the address space. NON-KERNEL: upstream relies on the
 * wrap-around of `end - 1`.
 */
function last_byte(end: number): number {
  return end === 0 ? Infinity : end - 1;
}

/**
 * Returns the page table that the entry points to, or null. Reports and clears an entry that is neither none nor a
 * table (include/linux/pgtable.h: pmd_none_or_clear_bad()).
 */
function table_or_clear_bad(m: Machine, table: ptdesc, i: number, what: string): ptdesc | null {
  const child = (table.child as (ptdesc | null)[])[i];
  if (child === null && table.entry[i] !== 0) {
    printk(m, `mm/pgtable-generic.c:0: bad ${what} ${String(table.entry[i])}`);
    table.entry[i] = 0;
  }
  return child;
}

/** Clears an entry that points to a page table. NON-KERNEL: upstream's pmd_clear(), pud_clear() and p4d_clear(). */
function unlink_table(table: ptdesc, i: number): void {
  table.entry[i] = 0;
  (table.child as (ptdesc | null)[])[i] = null;
}

/**
 * Returns true if nothing outside of [start, end) can need the table that begins at `start`. NON-KERNEL: the checks at
 * the end of upstream's free_pmd_range() and free_pud_range().
 */
function table_can_go(start: number, end: number, floor: number, ceiling: number, size: number): boolean {
  if (start < floor) return false;
  if (ceiling !== 0) {
    ceiling = ALIGN_DOWN(ceiling, size);
    if (ceiling === 0) return false;
  }
  return end - 1 <= last_byte(ceiling);
}

/** Queues the pte tables of a range, and the pmd table if nothing else needs it (mm/memory.c: free_pmd_range()). */
function free_pmd_range(
  m: Machine,
  tlb: mmu_gather,
  pudt: ptdesc,
  addr: number,
  end: number,
  floor: number,
  ceiling: number,
): void {
  const mm = tlb.mm as mm_struct;
  const pmdt = pudt.child?.[pud_index(addr)] as ptdesc;
  const start = ALIGN_DOWN(addr, PUD_SIZE);
  for (let next: number; addr !== end; addr = next) {
    next = pmd_addr_end(addr, end);
    const pi = pmd_index(addr);
    const pt = table_or_clear_bad(m, pmdt, pi, 'pmd');
    if (pt === null) continue;
    unlink_table(pmdt, pi);
    pte_free_tlb(m, tlb, pt, addr);
    mm.pgtables_bytes -= PAGE_SIZE;
  }
  if (!table_can_go(start, end, floor, ceiling, PUD_SIZE)) return;
  unlink_table(pudt, pud_index(start));
  pmd_free_tlb(m, tlb, pmdt, start);
  mm.pgtables_bytes -= PAGE_SIZE;
}

/** Queues the pmd tables of a range, and the pud table if nothing else needs it (mm/memory.c: free_pud_range()). */
function free_pud_range(
  m: Machine,
  tlb: mmu_gather,
  pgd: ptdesc,
  addr: number,
  end: number,
  floor: number,
  ceiling: number,
): void {
  const mm = tlb.mm as mm_struct;
  const pudt = pgd.child?.[pgd_index(addr)] as ptdesc;
  const start = ALIGN_DOWN(addr, PGDIR_SIZE);
  for (let next: number; addr !== end; addr = next) {
    next = pud_addr_end(addr, end);
    if (table_or_clear_bad(m, pudt, pud_index(addr), 'pud') !== null)
      free_pmd_range(m, tlb, pudt, addr, next, floor, ceiling);
  }
  if (!table_can_go(start, end, floor, ceiling, PGDIR_SIZE)) return;
  unlink_table(pgd, pgd_index(start));
  pud_free_tlb(m, tlb, pudt, start);
  mm.pgtables_bytes -= PAGE_SIZE;
}

/**
 * Queues the page tables of [addr, end) for freeing, except those that extend beyond [floor, ceiling). A ceiling of 0
 * is the top of the address space (mm/memory.c: free_pgd_range()).
 */
export function free_pgd_range(
  m: Machine,
  tlb: mmu_gather,
  addr: number,
  end: number,
  floor: number,
  ceiling: number,
): void {
  addr = ALIGN_DOWN(addr, PMD_SIZE);
  if (addr < floor) addr += PMD_SIZE;
  if (ceiling !== 0) {
    ceiling = ALIGN_DOWN(ceiling, PMD_SIZE);
    if (ceiling === 0) return;
  }
  if (end - 1 > last_byte(ceiling)) end -= PMD_SIZE;
  if (addr > end - 1) return;
  tlb_change_page_size(tlb, PAGE_SIZE);
  const pgd = (tlb.mm as mm_struct).pgd;
  for (let next: number; addr !== end; addr = next) {
    next = Math.min(ALIGN_DOWN(addr, PGDIR_SIZE) + PGDIR_SIZE, end);
    if (table_or_clear_bad(m, pgd, pgd_index(addr), 'pgd') !== null)
      free_pud_range(m, tlb, pgd, addr, next, floor, ceiling);
  }
}

/** Unlinks the vmas from the rmap and queues their page tables for freeing (mm/memory.c: free_pgtables()). */
export function* free_pgtables(m: Machine, tlb: mmu_gather, unmap: unmap_desc): Gen<void> {
  WARN_ON_ONCE(m, last_byte(unmap.vma_end) > last_byte(unmap.pg_end), 'free_pgtables');
  tlb_free_vmas(m, tlb);
  const vb = new unlink_vma_file_batch();
  const vmas = unmap.vmas;
  for (let i = 0; i < vmas.length; i++) {
    let vma = vmas[i];
    const addr = vma.vm_start;
    for (;;) {
      if (unmap.mm_wr_locked) yield* vma_start_write(m, vma);
      yield* unlink_anon_vmas(m, vma);
      yield* unlink_file_vma_batch_add(m, vb, vma);
      const near = vmas[i + 1];
      if (near === undefined || near.vm_start > vma.vm_end + PMD_SIZE) break;
      vma = near;
      i++;
    }
    yield* unlink_file_vma_batch_final(m, vb);
    const next = vmas[i + 1];
    free_pgd_range(m, tlb, addr, vma.vm_end, unmap.pg_start, next === undefined ? unmap.pg_end : next.vm_start);
  }
}
