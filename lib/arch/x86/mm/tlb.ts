// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../../boot.ts';
import { type mm_struct, type vm_area_struct, VM_HUGETLB } from '../../../mm/mm_types.ts';
import { PAGE_SIZE, type Slab } from '../../../mm/physmem.ts';
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_PRESENT,
  _PAGE_PROTNONE,
  _PAGE_PSE,
  _PAGE_RW,
  _PAGE_TABLE,
  _PAGE_USER,
  pgd_index,
  pmd_index,
  PMD_SIZE,
  type ptdesc,
  pte_index,
  pte_pfn,
  pte_set_flags,
  pud_index,
  PUD_SIZE,
} from './pgtable/pgtable.ts';

/** Entries of a CPU's TLB, which is direct-mapped by virtual page number. */
export const TLB_ENTRIES = 4096;
const TLB_MASK = TLB_ENTRIES - 1;
/** Factor of the context number in a tag; the virtual page number is below it. */
const TAG_SPAN = 2 ** 35;
const MAX_CTX = 2 ** 18;
const SLAB_PAGES = 512;

/** Flushes of more strides than this flush the whole mm (arch/x86/mm/tlb.c: init_flush_tlb_info()). */
const tlb_single_page_flush_ceiling = 33;

/**
 * A CPU with its TLB. An entry serves reads if rtag matches and writes if wtag matches; wtag is set for entries that
 * were writable and dirty when they were filled. Only the flush functions of this file, or a new entry in the same
 * slot, remove an entry. NON-KERNEL.
 */
export class Cpu {
  readonly id: number;
  readonly rtag = new Float64Array(TLB_ENTRIES).fill(-1);
  readonly wtag = new Float64Array(TLB_ENTRIES).fill(-1);
  readonly pfn = new Float64Array(TLB_ENTRIES);
  /** Start of the page in its slab, in units of u32. */
  readonly base = new Int32Array(TLB_ENTRIES);
  readonly slab: (Slab | null)[] = new Array<Slab | null>(TLB_ENTRIES).fill(null);
  constructor(id: number) {
    this.id = id;
  }
}

/**
 * Assigns the mm a context number that no TLB entry has, which flushes all of its entries on every CPU. Empties all
 * TLBs when the numbers run out. NON-KERNEL (arch/x86/mm/tlb.c: choose_new_asid()).
 */
function new_context(m: Machine, mm: mm_struct): void {
  if (m.tlb_next_ctx >= MAX_CTX) {
    m.tlb_next_ctx = 1;
    for (const cpu of m.cpus) {
      cpu.rtag.fill(-1);
      cpu.wtag.fill(-1);
    }
    for (const other of m.mms) if (other !== mm && other.tlb_tag !== 0) other.tlb_tag = m.tlb_next_ctx++ * TAG_SPAN;
  }
  mm.tlb_tag = m.tlb_next_ctx++ * TAG_SPAN;
}

/** Fills a TLB entry of the current CPU. Returns its index. NON-KERNEL: hardware. */
function tlb_fill(m: Machine, cpu: Cpu, mm: mm_struct, vpn: number, pfn: number, write: boolean): number {
  if (mm.tlb_tag === 0) new_context(m, mm);
  const i = vpn & TLB_MASK;
  const tag = mm.tlb_tag + vpn;
  const slab = m.ram.slab(pfn);
  const at = pfn & (SLAB_PAGES - 1);
  if (write) slab.used[at] = 1;
  cpu.rtag[i] = tag;
  cpu.wtag[i] = write ? tag : -1;
  cpu.pfn[i] = pfn;
  cpu.base[i] = at * (PAGE_SIZE / 4);
  cpu.slab[i] = slab;
  mm.cpumask |= 1 << cpu.id;
  return i;
}

/** Returns the index of the TLB entry of the current CPU that serves the access, or -1. NON-KERNEL: hardware. */
export function tlb_lookup(m: Machine, mm: mm_struct, vpn: number, write: boolean): number {
  const cpu = m.cpus[m.current.cpu];
  const i = vpn & TLB_MASK;
  return (write ? cpu.wtag[i] : cpu.rtag[i]) === mm.tlb_tag + vpn ? i : -1;
}

/** Returns true if the hardware permits the access through this entry. NON-KERNEL: hardware. */
function leaf_ok(entry: number, write: boolean): boolean {
  const need = _PAGE_PRESENT | _PAGE_USER | (write ? _PAGE_RW : 0);
  return (entry & need) === need;
}

/** Sets the accessed bit, and for a write the dirty bit. Returns the entry. NON-KERNEL: hardware. */
function mark_used(t: ptdesc, i: number, entry: number, write: boolean): number {
  const want = write ? _PAGE_ACCESSED | _PAGE_DIRTY : _PAGE_ACCESSED;
  if ((entry & want) !== want) {
    entry = pte_set_flags(entry, want);
    t.entry[i] = entry;
  }
  return entry;
}

/**
 * Walks the page tables after a TLB miss, sets the accessed and for a write the dirty bit, and fills the TLB. Returns
 * the index of the TLB entry, or -1 for a page fault. NON-KERNEL: hardware.
 */
export function hardware_walk(m: Machine, mm: mm_struct, vpn: number, write: boolean): number {
  const addr = vpn * PAGE_SIZE;
  const pudt = mm.pgd.child?.[pgd_index(addr)];
  if (!pudt) return -1;
  const ui = pud_index(addr);
  let e = pudt.entry[ui];
  let pfn = 0;
  if ((e & _PAGE_PSE) !== 0) {
    if (!leaf_ok(e, write)) return -1;
    e = mark_used(pudt, ui, e, write);
    pfn = pte_pfn(e) + (addr % PUD_SIZE) / PAGE_SIZE;
  } else {
    const pmdt = pudt.child?.[ui];
    if (!pmdt) return -1;
    const pi = pmd_index(addr);
    e = pmdt.entry[pi];
    if ((e & _PAGE_PSE) !== 0) {
      if (!leaf_ok(e, write)) return -1;
      e = mark_used(pmdt, pi, e, write);
      pfn = pte_pfn(e) + (addr % PMD_SIZE) / PAGE_SIZE;
    } else {
      const pt = (e & _PAGE_TABLE) !== 0 ? pmdt.child?.[pi] : null;
      if (!pt) return -1;
      const i = pte_index(addr);
      e = pt.entry[i];
      if (!leaf_ok(e, write)) return -1;
      e = mark_used(pt, i, e, write);
      pfn = pte_pfn(e);
    }
  }
  // A read through a writable, dirty entry caches the write permission too, as the hardware does.
  const both = _PAGE_RW | _PAGE_DIRTY;
  return tlb_fill(m, m.cpus[m.current.cpu], mm, vpn, pfn, write || (e & both) === both);
}

/** Removes a translation from a CPU's TLB. NON-KERNEL: hardware (INVLPG). */
function drop(cpu: Cpu, tag: number, vpn: number): void {
  const i = vpn & TLB_MASK;
  if (cpu.rtag[i] === tag) {
    cpu.rtag[i] = -1;
    cpu.wtag[i] = -1;
  }
}

/**
 * Flushes [start, end) of the mm on every CPU that ran it. The entries are 1 << stride_shift apart; more than 33 of
 * them flush the whole mm (arch/x86/mm/tlb.c: flush_tlb_mm_range()).
 */
export function flush_tlb_mm_range(
  m: Machine,
  mm: mm_struct,
  start: number,
  end: number,
  stride_shift: number,
  _freed_tables: boolean,
): void {
  m.tlb_flushes++;
  if (mm.tlb_tag === 0) return;
  if ((end - start) / 2 ** stride_shift > tlb_single_page_flush_ceiling) {
    new_context(m, mm);
    return;
  }
  const first = Math.floor(start / PAGE_SIZE);
  const last = Math.ceil(end / PAGE_SIZE);
  if (last - first >= TLB_ENTRIES) {
    new_context(m, mm);
    return;
  }
  for (const cpu of m.cpus) {
    if ((mm.cpumask & (1 << cpu.id)) === 0) continue;
    for (let vpn = first; vpn < last; vpn++) drop(cpu, mm.tlb_tag + vpn, vpn);
  }
}

/** Flushes the whole mm (arch/x86/include/asm/tlbflush.h: flush_tlb_mm()). */
export function flush_tlb_mm(m: Machine, mm: mm_struct): void {
  m.tlb_flushes++;
  if (mm.tlb_tag !== 0) new_context(m, mm);
}

/** Flushes one page (arch/x86/include/asm/tlbflush.h: flush_tlb_page()). */
export function flush_tlb_page(m: Machine, vma: vm_area_struct, a: number): void {
  const start = a - (a % PAGE_SIZE);
  flush_tlb_mm_range(m, vma.vm_mm, start, start + PAGE_SIZE, 12, false);
}

/** Flushes [start, end) of the vma's mm (arch/x86/include/asm/tlbflush.h: flush_tlb_range()). */
export function flush_tlb_range(m: Machine, vma: vm_area_struct, start: number, end: number): void {
  let shift = 12;
  if (vma.vm_flags & VM_HUGETLB) shift = Math.log2(vma.vm_ops?.pagesize?.(vma) ?? PMD_SIZE);
  flush_tlb_mm_range(m, vma.vm_mm, start, end, shift, false);
}

/** Flushes pmd mappings of [start, end) (include/linux/pgtable.h: flush_pmd_tlb_range()). */
export function flush_pmd_tlb_range(m: Machine, vma: vm_area_struct, start: number, end: number): void {
  flush_tlb_range(m, vma, start, end);
}

/** Clears a pte and returns the old one; no flush (arch/x86/include/asm/pgtable.h: ptep_get_and_clear()). */
export function ptep_get_and_clear(m: Machine, mm: mm_struct, addr: number, pt: ptdesc, i: number): number {
  const pte = pt.entry[i];
  pt.entry[i] = 0;
  return pte;
}

/** Returns true if a TLB may hold the entry (arch/x86/include/asm/pgtable.h: pte_accessible()). */
export function pte_accessible(mm: mm_struct, pte: number): boolean {
  if ((pte & _PAGE_PRESENT) !== 0) return true;
  return (pte & _PAGE_PROTNONE) !== 0 && mm_tlb_flush_pending(mm);
}

/** Announces a change of page tables that is flushed later (include/linux/mm_inline.h: inc_tlb_flush_pending()). */
export function inc_tlb_flush_pending(mm: mm_struct): void {
  mm.tlb_flush_pending++;
}

/** Ends inc_tlb_flush_pending() after the flush (include/linux/mm_inline.h: dec_tlb_flush_pending()). */
export function dec_tlb_flush_pending(mm: mm_struct): void {
  mm.tlb_flush_pending--;
}

/**
 * Returns true while page tables of the mm have changed and are not flushed
 * (include/linux/mm_inline.h: mm_tlb_flush_pending()).
 */
export function mm_tlb_flush_pending(mm: mm_struct): boolean {
  return mm.tlb_flush_pending > 0;
}

/** Returns true while several such changes are in progress (include/linux/mm_inline.h: mm_tlb_flush_nested()). */
export function mm_tlb_flush_nested(mm: mm_struct): boolean {
  return mm.tlb_flush_pending > 1;
}

/** A valid TLB entry as the audit and the inspector see it. NON-KERNEL. */
interface TlbEntry {
  mm: mm_struct;
  addr: number;
  pfn: number;
  write: boolean;
}

/** Returns the valid entries of a CPU's TLB. NON-KERNEL. */
export function tlb_entries(m: Machine, cpu: Cpu): TlbEntry[] {
  const by_tag = new Map<number, mm_struct>();
  for (const mm of m.mms) if (mm.tlb_tag !== 0) by_tag.set(mm.tlb_tag / TAG_SPAN, mm);
  const found: TlbEntry[] = [];
  for (let i = 0; i < TLB_ENTRIES; i++) {
    const tag = cpu.rtag[i];
    if (tag < 0) continue;
    const mm = by_tag.get(Math.floor(tag / TAG_SPAN));
    if (mm === undefined) continue;
    found.push({ mm, addr: (tag % TAG_SPAN) * PAGE_SIZE, pfn: cpu.pfn[i], write: cpu.wtag[i] === tag });
  }
  return found;
}
