// SPDX-License-Identifier: GPL-2.0-only
// Invariants of a machine while no task is inside the kernel. NON-KERNEL throughout.

import { PAGE_SIZE } from './mm/physmem.ts';
import {
  _PAGE_DIRTY,
  _PAGE_PRESENT,
  _PAGE_RW,
  PMD_SIZE,
  type ptdesc,
  pte_pfn,
  pte_present,
  pte_special,
  pte_swp_exclusive,
  pte_write,
  PUD_SIZE,
} from './arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from './machine.ts';
import { address_space } from './fs/fs.ts';
import { for_each_leaf, page_name, walk_address } from './inspect.ts';
import {
  softleaf_from_pte,
  softleaf_has_pfn,
  softleaf_is_device_exclusive,
  softleaf_is_device_private,
  softleaf_is_migration,
  softleaf_is_swap,
  page_of_softleaf,
} from './mm/leafops.ts';
import {
  anon_vma,
  MM_ANONPAGES,
  MM_FILEPAGES,
  MM_SHMEMPAGES,
  type mm_struct,
  MM_SWAPENTS,
  type vm_area_struct,
  VM_HUGETLB,
  VM_PFNMAP,
} from './mm/mm_types.ts';
import { PG_anon_exclusive, PG_head, PG_locked, PG_lru, PG_reserved } from './mm/page-flags.ts';
import {
  FOLIO_MAPPING_ANON,
  folio_nr_pages,
  page_folio,
  pfn_to_page,
  PGTY_buddy,
  PGTY_hugetlb,
  PGTY_table,
  ZONE_DEVICE,
} from './mm/page.ts';
import { MAX_PAGE_ORDER } from './mm/page_alloc.ts';
import { PAGES_PER_SECTION } from './mm/physmem.ts';
import { device_exclusive_is_mapping } from './mm/rmap/device_exclusive.ts';

const TAG_SPAN = 2 ** 35;
const MAX_FINDINGS = 20;

/** How often the page tables of all address spaces map a page or folio. */
interface Mapped {
  /** by ptes, including device-private and device-exclusive entries */
  ptes: number;
  /** by pmds or puds, on a head page */
  entire: number;
}

class Auditor {
  readonly m: Machine;
  readonly found: string[] = [];
  readonly mapped = new Map<number, Mapped>();
  /** explained references, by folio */
  readonly refs = new Map<number, number>();
  constructor(m: Machine) {
    this.m = m;
  }

  say(text: string): void {
    if (this.found.length < MAX_FINDINGS) this.found.push(text);
  }

  hold(folio: number, n: number): void {
    this.refs.set(folio, (this.refs.get(folio) ?? 0) + n);
  }

  map(page: number): Mapped {
    let c = this.mapped.get(page);
    if (c === undefined) {
      c = { ptes: 0, entire: 0 };
      this.mapped.set(page, c);
    }
    return c;
  }

  pfn(page: number): string {
    return page_name(this.m, page);
  }
}

function vma_cursor(mm: mm_struct): (addr: number) => vm_area_struct | null {
  let i = 0;
  return (addr) => {
    while (i < mm.mm_mt.length && mm.mm_mt[i].vm_end <= addr) i++;
    const v = mm.mm_mt[i];
    return v !== undefined && v.vm_start <= addr ? v : null;
  };
}

/** Checks that rmap of the page finds this vma at this address. */
function audit_rmap(a: Auditor, vma: vm_area_struct, addr: number, page: number): void {
  const m = a.m;
  const folio = page_folio(m, page);
  const mapping = m.page.mapping[folio];
  if (mapping === 0) return;
  const index = m.page.index[folio] + (page - folio);
  const object = m.mappings.get(mapping >>> 2);
  if (mapping & FOLIO_MAPPING_ANON) {
    if (!(object instanceof anon_vma)) {
      a.say(`rmap: ${a.pfn(page)} at 0x${addr.toString(16)} has a dead anon_vma`);
      return;
    }
    if (!object.rb_root.some((c) => c.vma === vma))
      a.say(`rmap: ${a.pfn(page)} at 0x${addr.toString(16)} is not found through its anon_vma`);
    const pgoff = (addr - vma.vm_start) / PAGE_SIZE + vma.vm_anon_pgoff;
    if (vma.vm_file === null && pgoff !== (addr - vma.vm_start) / PAGE_SIZE + vma.vm_pgoff) return;
    if (index !== pgoff)
      a.say(`rmap: ${a.pfn(page)} at 0x${addr.toString(16)} has index ${index}, the vma says ${pgoff}`);
  } else if (object instanceof address_space) {
    if (!object.i_mmap.includes(vma))
      a.say(`rmap: ${a.pfn(page)} at 0x${addr.toString(16)}: its file does not know the vma`);
    const unit = object.kind === 'hugetlbfs' ? folio_nr_pages(m, folio) : 1;
    const pgoff = (addr - vma.vm_start) / PAGE_SIZE + vma.vm_pgoff;
    if (index * unit !== pgoff && index !== pgoff)
      a.say(`rmap: ${a.pfn(page)} at 0x${addr.toString(16)} has file index ${index}, the vma says ${pgoff}`);
  } else a.say(`rmap: ${a.pfn(page)} names mapping ${mapping >>> 2}, which does not exist`);
}

function counter_of(m: Machine, folio: number): number {
  const mapping = m.page.mapping[folio];
  if (mapping & FOLIO_MAPPING_ANON) return MM_ANONPAGES;
  const object = m.mappings.get(mapping >>> 2);
  return object instanceof address_space && object.kind === 'shmem' ? MM_SHMEMPAGES : MM_FILEPAGES;
}

function audit_mm(a: Auditor, mm: mm_struct): void {
  const m = a.m;
  const rss = [0, 0, 0, 0];
  let hugetlb = 0;
  const vma_for = vma_cursor(mm);
  let last = 0;
  for (const v of mm.mm_mt) {
    if (v.vm_start < last || v.vm_end <= v.vm_start)
      a.say(`mm ${mm.mm_id}: vma 0x${v.vm_start.toString(16)} overlaps or is empty`);
    last = v.vm_end;
    if (v.vm_mm !== mm) a.say(`mm ${mm.mm_id}: vma 0x${v.vm_start.toString(16)} belongs to another mm`);
    for (const c of v.anon_vma_chain)
      if (!c.anon_vma.rb_root.includes(c))
        a.say(`mm ${mm.mm_id}: vma 0x${v.vm_start.toString(16)} is missing in an anon_vma`);
  }
  for_each_leaf(mm, (addr, entry, size) => {
    const vma = vma_for(addr);
    if (vma === null) {
      a.say(`mm ${mm.mm_id}: an entry at 0x${addr.toString(16)} outside of any vma`);
      return;
    }
    const present = pte_present(entry);
    const leaf = softleaf_from_pte(entry);
    if (!present && softleaf_is_swap(leaf)) rss[MM_SWAPENTS] += 1;
    if (!present && !softleaf_has_pfn(leaf)) return;
    if (present && (pte_special(entry) || (vma.vm_flags & VM_PFNMAP) !== 0)) return;
    const page = present ? pfn_to_page(m, pte_pfn(entry)) : page_of_softleaf(m, leaf);
    if (page === m.zero_page || page === m.thp.huge_zero_folio) return;
    const folio = page_folio(m, page);
    const nr = size / PAGE_SIZE;
    if (vma.vm_flags & VM_HUGETLB) hugetlb += nr;
    else rss[counter_of(m, folio)] += nr;
    if (!present && softleaf_is_migration(leaf)) {
      a.say(`mm ${mm.mm_id}: a migration entry at 0x${addr.toString(16)} that nobody works on`);
      return;
    }
    const c = a.map(page);
    if (!present && softleaf_is_device_exclusive(leaf) && !device_exclusive_is_mapping(m)) {
      // has a reference and no mapcount
    } else if (size === PAGE_SIZE) c.ptes++;
    else c.entire++;
    a.hold(folio, 1);
    audit_rmap(a, vma, addr, page);
    const exclusive = m.page.flags[page] & PG_anon_exclusive;
    const anon = (m.page.mapping[folio] & FOLIO_MAPPING_ANON) !== 0;
    if (present && anon && pte_write(entry) && !exclusive)
      a.say(`mm ${mm.mm_id}: writable at 0x${addr.toString(16)} but ${a.pfn(page)} is not exclusive`);
    if (!present && softleaf_is_device_exclusive(leaf) && !exclusive)
      a.say(`mm ${mm.mm_id}: device exclusive at 0x${addr.toString(16)} but ${a.pfn(page)} is not`);
    if (
      !present &&
      !softleaf_is_device_private(leaf) &&
      !softleaf_is_device_exclusive(leaf) &&
      pte_swp_exclusive(entry) &&
      anon &&
      !exclusive
    ) {
      a.say(`mm ${mm.mm_id}: exclusive entry at 0x${addr.toString(16)}`);
    }
  });
  const names = ['file', 'anon', 'swap', 'shmem'];
  for (let i = 0; i < 4; i++) {
    if (mm.rss_stat[i] !== rss[i])
      a.say(`mm ${mm.mm_id}: rss ${names[i]} says ${mm.rss_stat[i]}, the page tables ${rss[i]}`);
  }
  if (mm.hugetlb_usage !== hugetlb)
    a.say(`mm ${mm.mm_id}: hugetlb_usage says ${mm.hugetlb_usage}, the page tables ${hugetlb}`);
}

function count_tables(table: ptdesc, visit: (t: ptdesc) => void): void {
  visit(table);
  for (const child of table.child ?? []) if (child !== null) count_tables(child, visit);
  for (const t of table.pmd_huge_pte) visit(t);
}

function audit_counts(a: Auditor): void {
  const m = a.m;
  const p = m.page;
  const { _refcount, compound_head } = p;
  for (const [page, n] of a.refs) {
    if (n > 0 && _refcount[page] === 0 && compound_head[page] === 0)
      a.say(`refcount: ${a.pfn(page)} is free and still mapped or held`);
  }
  p.for_each_used(PAGES_PER_SECTION, p.rows, (page) => {
    const head = compound_head[page];
    const type = p.page_type[page];
    if (head !== 0) {
      const c = a.mapped.get(page);
      if (type === 0 && p.page_type[head] === 0 && p._mapcount[page] + 1 !== (c?.ptes ?? 0)) {
        a.say(`mapcount: ${a.pfn(page)} says ${p._mapcount[page] + 1}, the page tables ${c?.ptes ?? 0}`);
      }
      return;
    }
    if (p.flags[page] & PG_locked) a.say(`lock: folio ${a.pfn(page)} is locked`);
    audit_folio(a, page, _refcount[page], type);
  });
}

function audit_folio(a: Auditor, folio: number, ref: number, type: number): void {
  const m = a.m;
  const p = m.page;
  const nr = folio_nr_pages(m, folio);
  const c = a.mapped.get(folio);
  let ptes = 0;
  let pages_mapped = 0;
  for (let i = 0; i < nr; i++) {
    const n = a.mapped.get(folio + i)?.ptes ?? 0;
    ptes += n;
    if (n > 0) pages_mapped++;
  }
  if (p.flags[folio] & PG_head) {
    const l = p.large.get(folio);
    if (l === undefined) a.say(`folio ${a.pfn(folio)}: no large state`);
    else {
      const entire = c?.entire ?? 0;
      if (l._entire_mapcount + 1 !== entire)
        a.say(`mapcount: folio ${a.pfn(folio)} entire ${l._entire_mapcount + 1}, the page tables ${entire}`);
      if (l._large_mapcount + 1 !== entire + ptes)
        a.say(`mapcount: folio ${a.pfn(folio)} large ${l._large_mapcount + 1}, the page tables ${entire + ptes}`);
      if (type !== PGTY_hugetlb) {
        const first = p._mapcount[folio] + 1;
        if (first !== (c?.ptes ?? 0)) a.say(`mapcount: ${a.pfn(folio)} says ${first}, the page tables ${c?.ptes ?? 0}`);
        const low = l._nr_pages_mapped & 0x7fffff;
        if (low !== pages_mapped)
          a.say(`mapcount: folio ${a.pfn(folio)} nr_pages_mapped ${low}, the page tables ${pages_mapped}`);
      }
    }
  } else if (type === 0) {
    const mapcount = p._mapcount[folio] + 1;
    if (mapcount !== ptes) a.say(`mapcount: ${a.pfn(folio)} says ${mapcount}, the page tables ${ptes}`);
    if (mapcount > 1 && p.flags[folio] & PG_anon_exclusive)
      a.say(`exclusive: ${a.pfn(folio)} is mapped ${mapcount} times and exclusive`);
  }
  if (p.flags[folio] & PG_reserved && p.zone[folio] !== ZONE_DEVICE) return;
  const explained = a.refs.get(folio) ?? 0;
  if (ref !== explained) {
    const kind = p.zone[folio] === ZONE_DEVICE ? 'device page' : 'page';
    a.say(`refcount: ${kind} ${a.pfn(folio)} (${nr} pages) has ${ref} references, ${explained} are explained`);
  }
}

function audit_free_lists(a: Auditor): void {
  const m = a.m;
  let free = 0;
  for (let o = 0; o <= MAX_PAGE_ORDER; o++) {
    const list = m.zone.free_area[o];
    let n = 0;
    for (let page = list?.first ?? 0; page !== 0; page = m.page.lru_next[page]) {
      n++;
      if (m.page.page_type[page] !== PGTY_buddy || m.page.order[page] !== o)
        a.say(`free list ${o}: ${a.pfn(page)} is not a free block of it`);
      if (n > (list?.count ?? 0)) break;
    }
    if (n !== (list?.count ?? 0)) a.say(`free list ${o}: holds ${n}, counts ${list?.count}`);
    free += n << o;
  }
  for (const s of m.zone.spans) free += s.end - s.untouched;
  if (free !== m.zone.nr_free) a.say(`free lists: hold ${free} pages, nr_free says ${m.zone.nr_free}`);
}

function audit_lru(a: Auditor): void {
  const m = a.m;
  m.lru.lists.forEach((list, i) => {
    let pages = 0;
    for (let f = list.first; f !== 0; f = m.page.lru_next[f]) {
      pages += folio_nr_pages(m, f);
      if (!(m.page.flags[f] & PG_lru)) a.say(`lru ${i}: ${a.pfn(f)} is on it without PG_lru`);
    }
    if (i < 4 && pages !== m.lru.lru_size[i])
      a.say(`lru ${i}: holds ${pages} pages, lru_size says ${m.lru.lru_size[i]}`);
  });
  for (const b of m.lru.cpu_fbatches) {
    for (const batch of Object.values(b) as number[][]) for (const f of batch) a.hold(f, 1);
  }
}

function audit_tlb(a: Auditor): void {
  const m = a.m;
  for (const cpu of m.cpus) {
    for (const mm of m.mms) {
      if (mm.tlb_tag === 0) continue;
      for (let i = 0; i < cpu.rtag.length; i++) {
        const tag = cpu.rtag[i];
        if (tag < mm.tlb_tag || tag >= mm.tlb_tag + TAG_SPAN) continue;
        const addr = (tag - mm.tlb_tag) * PAGE_SIZE;
        const leaf = walk_address(mm, addr);
        const span = leaf.level === 'pmd' ? PMD_SIZE : leaf.level === 'pud' ? PUD_SIZE : PAGE_SIZE;
        const pfn = pte_pfn(leaf.entry) + (addr % span) / PAGE_SIZE;
        const where = `TLB of CPU ${cpu.id}: 0x${addr.toString(16)} of mm ${mm.mm_id}`;
        if (!(leaf.entry & _PAGE_PRESENT) || pfn !== cpu.pfn[i])
          a.say(`${where} maps pfn ${cpu.pfn[i]}, the page tables do not`);
        else if (cpu.wtag[i] === tag && (leaf.entry & (_PAGE_RW | _PAGE_DIRTY)) !== (_PAGE_RW | _PAGE_DIRTY))
          a.say(`${where} may be written, by the page tables not`);
      }
    }
  }
}

/**
 * Returns the violated invariants, at most 20 lines; empty for a clean machine. Every task must be in user space or
 * asleep without a lock.
 */
export function audit(m: Machine): string[] {
  const a = new Auditor(m);
  for (const mm of m.mms) {
    audit_mm(a, mm);
    let tables = 0;
    count_tables(mm.pgd, (t) => {
      tables++;
      if (m.page.page_type[t.page] !== PGTY_table)
        a.say(`mm ${mm.mm_id}: a page table in ${a.pfn(t.page)}, which is not typed as one`);
      a.hold(t.page, 1);
      if (t.ptl.owner !== null) a.say(`lock: ${t.ptl.what} held by task ${t.ptl.owner.pid}`);
    });
    if (mm.pgtables_bytes !== (tables - 1) * PAGE_SIZE)
      a.say(`mm ${mm.mm_id}: pgtables_bytes ${mm.pgtables_bytes}, the tables take ${(tables - 1) * PAGE_SIZE}`);
  }
  for (const object of m.mappings.live()) {
    if (!(object instanceof address_space)) continue;
    for (const folio of object.i_pages.values()) a.hold(folio, folio_nr_pages(m, folio));
  }
  audit_lru(a);
  if (m.thp.huge_zero_folio !== 0) a.hold(m.thp.huge_zero_folio, 1);
  for (const mod of m.modules.loaded.values()) mod.held_folios(m, (folio) => a.hold(folio, 1));
  audit_counts(a);
  audit_free_lists(a);
  audit_tlb(a);
  if (m.slab.live > 0) a.say(`slab: ${m.slab.live} arrays of kvcalloc() were not freed`);
  for (const t of m.sched.tasks) for (const lock of t.held_locks) a.say(`lock: task ${t.pid} holds ${lock.what}`);
  return a.found;
}
