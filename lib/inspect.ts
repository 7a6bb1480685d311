// SPDX-License-Identifier: GPL-2.0-only
// Read-only views of kernel state for tools outside lib. NON-KERNEL throughout.

import {
  _PAGE_TABLE,
  pgd_index,
  pmd_index,
  PMD_SIZE,
  type ptdesc,
  pte_dirty,
  pte_index,
  pte_pfn,
  pte_present,
  pte_protnone,
  pte_special,
  pte_swp_exclusive,
  pte_uffd,
  pte_write,
  pte_young,
  pud_index,
  PUD_SIZE,
} from './arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from './machine.ts';
import {
  SOFTLEAF_DEVICE_EXCLUSIVE,
  SOFTLEAF_DEVICE_PRIVATE_READ,
  SOFTLEAF_DEVICE_PRIVATE_WRITE,
  page_of_softleaf,
  softleaf_from_pte,
  softleaf_has_pfn,
  SOFTLEAF_HWPOISON,
  SOFTLEAF_MARKER,
  SOFTLEAF_MIGRATION_DEVICE_PRIVATE_READ,
  SOFTLEAF_MIGRATION_DEVICE_PRIVATE_READ_EXCLUSIVE,
  SOFTLEAF_MIGRATION_DEVICE_PRIVATE_WRITE,
  SOFTLEAF_MIGRATION_READ,
  SOFTLEAF_MIGRATION_READ_EXCLUSIVE,
  SOFTLEAF_MIGRATION_WRITE,
  SOFTLEAF_SWAP,
  softleaf_type,
  swp_offset,
} from './mm/leafops.ts';
import type { mm_struct, vm_area_struct } from './mm/mm_types.ts';
import { flag_names } from './mm/page-flags.ts';
import { folio_nr_pages, page_folio, pfn_to_page, ZONE_DEVICE } from './mm/page.ts';
import { PAGE_SIZE } from './mm/physmem.ts';

/** The entry at which a page-table walk of an address ends. */
export interface Leaf {
  /** level of the entry; 'none' for a missing table */
  level: 'pte' | 'pmd' | 'pud' | 'none';
  entry: number;
  /** the table that holds it, and the index in it */
  table: ptdesc | null;
  index: number;
  /** bytes that the entry covers */
  size: number;
}

/** Returns the leaf entry for an address by reading the page tables. */
export function walk_address(mm: mm_struct, addr: number): Leaf {
  let table: ptdesc = mm.pgd;
  for (;;) {
    const i =
      table.level === 4
        ? pgd_index(addr)
        : table.level === 3
          ? pud_index(addr)
          : table.level === 2
            ? pmd_index(addr)
            : pte_index(addr);
    const entry = table.entry[i];
    if (table.level === 1) return { level: 'pte', entry, table, index: i, size: PAGE_SIZE };
    const child = table.child?.[i] ?? null;
    if (child === null || (entry & _PAGE_TABLE) === 0) {
      if (entry === 0)
        return { level: 'none', entry: 0, table, index: i, size: table.level === 2 ? PMD_SIZE : PUD_SIZE };
      return {
        level: table.level === 2 ? 'pmd' : 'pud',
        entry,
        table,
        index: i,
        size: table.level === 2 ? PMD_SIZE : PUD_SIZE,
      };
    }
    table = child;
  }
}

/** Calls `visit` for every non-empty leaf entry in order of address, with the bytes that the entry covers. */
export function for_each_leaf(
  mm: mm_struct,
  visit: (addr: number, entry: number, size: number, table: ptdesc, index: number) => void,
): void {
  const span = [0, PAGE_SIZE, PMD_SIZE, PUD_SIZE, 512 * PUD_SIZE];
  const walk = (table: ptdesc, base: number): void => {
    const size = span[table.level];
    for (let i = 0; i < 512; i++) {
      const entry = table.entry[i];
      if (entry === 0) continue;
      const child = table.child?.[i] ?? null;
      if (child !== null && (entry & _PAGE_TABLE) !== 0) walk(child, base + i * size);
      else visit(base + i * size, entry, size, table, i);
    }
  };
  walk(mm.pgd, 0);
}

/** Returns the address space of a process, or null. */
export function mm_of(m: Machine, pid: number): mm_struct | null {
  return m.sched.tasks.find((t) => t.pid === pid)?.mm ?? null;
}

/** Returns the number of mmu_notifier invalidations of an address space so far. */
export function nr_invalidations(mm: mm_struct | null): number {
  return mm?.notifier_subscriptions?.nr_invalidations ?? 0;
}

/** Returns the vma that contains the address, or null. */
export function vma_at(mm: mm_struct, addr: number): vm_area_struct | null {
  return mm.mm_mt.find((v) => v.vm_start <= addr && addr < v.vm_end) ?? null;
}

const LEAF_NAMES: Record<number, string> = {
  [SOFTLEAF_SWAP]: 'swap',
  [SOFTLEAF_MIGRATION_READ]: 'migration-read',
  [SOFTLEAF_MIGRATION_READ_EXCLUSIVE]: 'migration-read-exclusive',
  [SOFTLEAF_MIGRATION_WRITE]: 'migration-write',
  [SOFTLEAF_DEVICE_PRIVATE_READ]: 'device-private-read',
  [SOFTLEAF_DEVICE_PRIVATE_WRITE]: 'device-private-write',
  [SOFTLEAF_DEVICE_EXCLUSIVE]: 'device-exclusive',
  [SOFTLEAF_MIGRATION_DEVICE_PRIVATE_READ]: 'device-private-migration-read',
  [SOFTLEAF_MIGRATION_DEVICE_PRIVATE_READ_EXCLUSIVE]: 'device-private-migration-read-exclusive',
  [SOFTLEAF_MIGRATION_DEVICE_PRIVATE_WRITE]: 'device-private-migration-write',
  [SOFTLEAF_HWPOISON]: 'hwpoison',
  [SOFTLEAF_MARKER]: 'marker',
};

/** Returns the page's pfn or, with device-private-offsets, a device-private page's offset, as text. */
export function page_name(m: Machine, page: number): string {
  return `${m.device_private.by_offset(page) ? 'device ' : ''}pfn 0x${m.device_private.page_number(page).toString(16)}`;
}

/** Describes a page in one line: its folio, counts and flags. */
export function describe_page(m: Machine, page: number): string {
  const p = m.page;
  const folio = page_folio(m, page);
  const flags = flag_names(p.flags[page]);
  const nr = folio_nr_pages(m, folio);
  const where = p.zone[folio] === ZONE_DEVICE ? ` device(pgmap ${p.pgmap[folio]})` : '';
  const part =
    nr > 1
      ? ` of folio 0x${m.device_private.page_number(folio).toString(16)} (${nr} pages, entire_mapcount ${(p.large.get(folio)?._entire_mapcount ?? -1) + 1}, large_mapcount ${(p.large.get(folio)?._large_mapcount ?? -1) + 1})`
      : '';
  return `${page_name(m, page)}${part}${where} ref ${p._refcount[folio]} map ${p._mapcount[page] + 1} [${flags.join(' ')}]`;
}

/** Describes a page-table entry and its page in one line. */
export function describe_entry(m: Machine, entry: number): string {
  if (entry === 0) return 'none';
  if (pte_present(entry)) {
    const bits = [
      pte_protnone(entry) ? 'protnone' : '',
      pte_write(entry) ? 'write' : 'read',
      pte_dirty(entry) ? 'dirty' : '',
      pte_young(entry) ? 'young' : '',
      pte_special(entry) ? 'special' : '',
      pte_uffd(entry) ? 'uffd' : '',
    ].filter((s) => s !== '');
    return `${bits.join(' ')}: ${describe_page(m, pfn_to_page(m, pte_pfn(entry)))}`;
  }
  const leaf = softleaf_from_pte(entry);
  const name = LEAF_NAMES[softleaf_type(leaf)] ?? 'leaf';
  const bits = `${pte_swp_exclusive(entry) ? ' exclusive' : ''}${pte_uffd(entry) ? ' uffd' : ''}`;
  if (!softleaf_has_pfn(leaf)) return `${name} ${swp_offset(leaf)}${bits}`;
  return `${name}${bits}: ${describe_page(m, page_of_softleaf(m, leaf))}`;
}

/** Describes the page-table entries of `npages` pages of a process, equal neighbours in one line. */
export function inspect_range(m: Machine, pid: number, start: number, npages: number): string[] {
  const mm = mm_of(m, pid);
  if (mm === null) return [`process ${pid} has no address space`];
  const lines: string[] = [];
  let held: string | null = null;
  let from = start;
  const flush = (to: number): void => {
    if (held === null) return;
    const n = (to - from) / PAGE_SIZE;
    lines.push(`0x${from.toString(16)}${n > 1 ? ` (${n} pages)` : ''}: ${held}`);
  };
  for (let a = start; a < start + npages * PAGE_SIZE; a += PAGE_SIZE) {
    const vma = vma_at(mm, a);
    const leaf = walk_address(mm, a);
    const text = vma === null ? 'no vma' : `${leaf.level} ${describe_entry(m, leaf.entry)}`;
    if (text === held) continue;
    flush(a);
    held = text;
    from = a;
  }
  flush(start + npages * PAGE_SIZE);
  return lines;
}
