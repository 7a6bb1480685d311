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

/** Entries of a CPU's TLB, direct-mapped by virtual page number. */
export const TLB_ENTRIES = 4096;
const TLB_MASK = TLB_ENTRIES - 1;
/** above the virtual page number in a tag: the number of the address space */
const TAG_SPAN = 2 ** 35;
const MAX_CTX = 2 ** 18;
const SLAB_PAGES = 512;

/** A flush of more strides than this drops the whole address space (arch/x86/mm/tlb.c: init_flush_tlb_info()). */
const tlb_single_page_flush_ceiling = 33;

/**
 * A CPU: its translation cache. An entry answers reads when rtag matches and writes when wtag matches; the second needs
 * an entry that was writable and dirty when it was filled. Only the flush functions of this file and a later entry in
 * the same place drop one. NON-KERNEL.
 */
export class Cpu {
  readonly id: number;
  readonly rtag = new Float64Array(TLB_ENTRIES).fill(-1);
  readonly wtag = new Float64Array(TLB_ENTRIES).fill(-1);
  readonly pfn = new Float64Array(TLB_ENTRIES);
  /** where in its slab the page starts, in u32 */
  readonly base = new Int32Array(TLB_ENTRIES);
  readonly slab: (Slab | null)[] = new Array<Slab | null>(TLB_ENTRIES).fill(null);
  constructor(id: number) {
    this.id = id;
  }
}

/** The CPU that runs the current task (include/linux/smp.h: smp_processor_id()). */
export function this_cpu(m: Machine): Cpu {
  return m.cpus[m.current.cpu];
}

/**
 * Gives the address space a number that no TLB entry carries, which is a flush of all of its entries on every CPU; all
 * TLBs are emptied when the numbers run out. NON-KERNEL (arch/x86/mm/tlb.c: choose_new_asid()).
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

/**
 * The index of the TLB entry of the current CPU that may serve the access, or -1 if it holds none. NON-KERNEL.
 */
export function tlb_lookup(m: Machine, mm: mm_struct, vpn: number, write: boolean): number {
  const cpu = m.cpus[m.current.cpu];
  const i = vpn & TLB_MASK;
  return (write ? cpu.wtag[i] : cpu.rtag[i]) === mm.tlb_tag + vpn ? i : -1;
}

function leaf_ok(entry: number, write: boolean): boolean {
  const need = _PAGE_PRESENT | _PAGE_USER | (write ? _PAGE_RW : 0);
  return (entry & need) === need;
}

function mark_used(t: ptdesc, i: number, entry: number, write: boolean): number {
  const want = write ? _PAGE_ACCESSED | _PAGE_DIRTY : _PAGE_ACCESSED;
  if ((entry & want) !== want) {
    entry = pte_set_flags(entry, want);
    t.entry[i] = entry;
  }
  return entry;
}

/**
 * What the hardware does on a TLB miss: walks the page tables, sets the accessed bit (and on a write the dirty bit) in
 * the entry, and caches the translation. Answers the index of the TLB entry on the current CPU, or -1 for a page fault.
 * NON-KERNEL.
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
  // A read that finds the entry writable and dirty already caches both rights, as the hardware does.
  const both = _PAGE_RW | _PAGE_DIRTY;
  return tlb_fill(m, m.cpus[m.current.cpu], mm, vpn, pfn, write || (e & both) === both);
}

function drop(cpu: Cpu, tag: number, vpn: number): void {
  const i = vpn & TLB_MASK;
  if (cpu.rtag[i] === tag) {
    cpu.rtag[i] = -1;
    cpu.wtag[i] = -1;
  }
}

/**
 * Drops the translations of [start, end) of the address space on every CPU that ran it; stride_shift says how far apart
 * entries are, and more than 33 strides drop all of the mm's (arch/x86/mm/tlb.c: flush_tlb_mm_range()).
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

/** Drops every translation of the address space (arch/x86/include/asm/tlbflush.h: flush_tlb_mm()). */
export function flush_tlb_mm(m: Machine, mm: mm_struct): void {
  m.tlb_flushes++;
  if (mm.tlb_tag !== 0) new_context(m, mm);
}

/** Drops the translation of one page (arch/x86/include/asm/tlbflush.h: flush_tlb_page()). */
export function flush_tlb_page(m: Machine, vma: vm_area_struct, a: number): void {
  const start = a - (a % PAGE_SIZE);
  flush_tlb_mm_range(m, vma.vm_mm, start, start + PAGE_SIZE, 12, false);
}

/**
 * Drops the translations of [start, end) of the vma's address space (arch/x86/include/asm/tlbflush.h:
 * flush_tlb_range()).
 */
export function flush_tlb_range(m: Machine, vma: vm_area_struct, start: number, end: number): void {
  let shift = 12;
  if (vma.vm_flags & VM_HUGETLB) shift = Math.log2(vma.vm_ops?.pagesize?.(vma) ?? PMD_SIZE);
  flush_tlb_mm_range(m, vma.vm_mm, start, end, shift, false);
}

/** As flush_tlb_range(), for entries of pmd tables (include/linux/pgtable.h: flush_pmd_tlb_range()). */
export function flush_pmd_tlb_range(m: Machine, vma: vm_area_struct, start: number, end: number): void {
  flush_tlb_range(m, vma, start, end);
}

/** As flush_tlb_range(), for entries of pud tables (include/linux/pgtable.h: flush_pud_tlb_range()). */
export function flush_pud_tlb_range(m: Machine, vma: vm_area_struct, start: number, end: number): void {
  flush_tlb_range(m, vma, start, end);
}

/** Drops every translation of every CPU (arch/x86/mm/tlb.c: flush_tlb_all()). */
export function flush_tlb_all(m: Machine): void {
  m.tlb_flushes++;
  for (const cpu of m.cpus) {
    cpu.rtag.fill(-1);
    cpu.wtag.fill(-1);
  }
}

/** Takes the entry out of its table and answers it; no flush (arch/x86/include/asm/pgtable.h: ptep_get_and_clear()). */
export function ptep_get_and_clear(m: Machine, mm: mm_struct, addr: number, pt: ptdesc, i: number): number {
  const pte = pt.entry[i];
  pt.entry[i] = 0;
  return pte;
}

/** True if a TLB may hold the entry (arch/x86/include/asm/pgtable.h: pte_accessible()). */
export function pte_accessible(mm: mm_struct, pte: number): boolean {
  if ((pte & _PAGE_PRESENT) !== 0) return true;
  return (pte & _PAGE_PROTNONE) !== 0 && mm_tlb_flush_pending(mm);
}

/** Notes that page tables change whose flush comes later (include/linux/mm_inline.h: inc_tlb_flush_pending()). */
export function inc_tlb_flush_pending(mm: mm_struct): void {
  mm.tlb_flush_pending++;
}

/** Ends what inc_tlb_flush_pending() began (include/linux/mm_inline.h: dec_tlb_flush_pending()). */
export function dec_tlb_flush_pending(mm: mm_struct): void {
  mm.tlb_flush_pending--;
}

/**
 * True while somebody has changed page tables and not flushed yet (include/linux/mm_inline.h: mm_tlb_flush_pending()).
 */
export function mm_tlb_flush_pending(mm: mm_struct): boolean {
  return mm.tlb_flush_pending > 0;
}

/** True while more than one does so (include/linux/mm_inline.h: mm_tlb_flush_nested()). */
export function mm_tlb_flush_nested(mm: mm_struct): boolean {
  return mm.tlb_flush_pending > 1;
}

/** A live TLB entry, as the audit and the inspector see it. NON-KERNEL. */
interface TlbEntry {
  mm: mm_struct;
  addr: number;
  pfn: number;
  write: boolean;
}

/** The live entries of a CPU's TLB. NON-KERNEL. */
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
