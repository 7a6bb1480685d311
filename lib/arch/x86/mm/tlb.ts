// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../../machine.ts';
import type { tlbflush_unmap_batch } from '../../../kernel/sched/core.ts';
import { type mm_struct, type vm_area_struct, VM_HUGETLB } from '../../../mm/mm_types.ts';
import { PAGE_SIZE, type Slab } from '../../../mm/physmem.ts';
import { TLB_BYTES, TLB_LAYOUT } from '../user/layout.ts';
import type { UserMemory } from '../user/memory.ts';
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_NX,
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
  pte_advance_pfn,
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
/** What tags start at: in doubles from 2^52 on, one more is the next bit pattern, so that code may compare the bits. */
const TAG_BASE = 2 ** 52;
const MAX_CTX = 2 ** 17;
const SLAB_PAGES = 512;

/** Flushes of more strides than this flush the whole mm (arch/x86/mm/tlb.c: init_flush_tlb_info()). */
const tlb_single_page_flush_ceiling = 33;

/**
 * A CPU with its TLB. An entry serves reads if rtag matches and writes if wtag matches; wtag is set for entries that
 * were writable and dirty when they were filled. An entry of a page without bytes (mm/contents.ts) has its tags in
 * lazy_rtag and lazy_wtag until tlb_need_bytes(). Only the flush functions of this file, or a new entry in the same slot,
 * remove an entry. NON-KERNEL.
 */
export class Cpu {
  readonly id: number;
  /** byte offset of the tags and addends in user memory, where translated code reads them (layout.ts: TLB_LAYOUT) */
  readonly tlb: number;
  readonly rtag: Float64Array;
  readonly wtag: Float64Array;
  readonly lazy_rtag = new Float64Array(TLB_ENTRIES).fill(-1);
  readonly lazy_wtag = new Float64Array(TLB_ENTRIES).fill(-1);
  /** two an entry, the first of them: what to add to an address, modulo 2^32, for its byte offset in user memory */
  readonly addend: Int32Array;
  readonly pfn = new Float64Array(TLB_ENTRIES);
  /** Start of the page in its slab, in units of u32. */
  readonly base = new Int32Array(TLB_ENTRIES);
  /** address space of the task that it runs, or ran last (struct tlb_state: loaded_mm) */
  loaded_mm: mm_struct | null = null;
  readonly slab: (Slab | null)[] = new Array<Slab | null>(TLB_ENTRIES).fill(null);
  /** With `memory` the tags lie in it at the byte offset `tlb`. */
  constructor(id: number, memory: UserMemory | null = null, tlb = 0) {
    this.id = id;
    this.tlb = tlb;
    const buffer = memory === null ? new ArrayBuffer(TLB_BYTES) : memory.memory.buffer;
    this.rtag = new Float64Array(buffer, tlb + TLB_LAYOUT.READ_TAG, TLB_ENTRIES).fill(-1);
    this.wtag = new Float64Array(buffer, tlb + TLB_LAYOUT.WRITE_TAG, TLB_ENTRIES).fill(-1);
    this.addend = new Int32Array(buffer, tlb + TLB_LAYOUT.ADDEND, TLB_ENTRIES * 2);
  }

  /** Removes all entries. */
  empty(): void {
    for (const tags of [this.rtag, this.wtag, this.lazy_rtag, this.lazy_wtag]) tags.fill(-1);
  }
}

/**
 * Assigns the mm a context number that no TLB entry has, which flushes all of its entries on every CPU. Empties all
 * TLBs when the numbers run out. NON-KERNEL (arch/x86/mm/tlb.c: choose_new_asid()).
 */
function new_context(m: Machine, mm: mm_struct): void {
  if (m.tlb_next_ctx >= MAX_CTX) {
    m.tlb_next_ctx = 1;
    for (const cpu of m.cpus) cpu.empty();
    for (const other of m.mms)
      if (other !== mm && other.tlb_tag !== 0) other.tlb_tag = TAG_BASE + m.tlb_next_ctx++ * TAG_SPAN;
  }
  mm.tlb_tag = TAG_BASE + m.tlb_next_ctx++ * TAG_SPAN;
  mm.tlb_behind = 0;
}

/** Fills a TLB entry of the current CPU. Returns its index. NON-KERNEL: hardware. */
function tlb_fill(m: Machine, cpu: Cpu, mm: mm_struct, vpn: number, pfn: number, write: boolean): number {
  const i = vpn & TLB_MASK;
  const tag = tlb_tag(m, mm) + vpn;
  const slab = m.ram.slab(pfn);
  const at = pfn & (SLAB_PAGES - 1);
  // Translated code does not know of pages without bytes.
  if (m.config.user_memory !== null) {
    if (write) m.ram.touch(slab, at);
    else slab.need_bytes(at);
  }
  const lazy = slab.used[at] === 0;
  cpu.rtag[i] = lazy ? -1 : tag;
  cpu.wtag[i] = lazy || !write ? -1 : tag;
  cpu.lazy_rtag[i] = lazy ? tag : -1;
  cpu.lazy_wtag[i] = lazy && write ? tag : -1;
  cpu.pfn[i] = pfn;
  cpu.base[i] = at * (PAGE_SIZE / 4);
  cpu.slab[i] = slab;
  cpu.addend[i * 2] = slab.at + at * PAGE_SIZE - vpn * PAGE_SIZE;
  mm.cpumask |= 1 << cpu.id;
  return i;
}

/** Returns the index of the TLB entry of the current CPU that serves the access, or -1. NON-KERNEL: hardware. */
export function tlb_lookup(m: Machine, mm: mm_struct, vpn: number, write: boolean): number {
  const cpu = m.cpus[m.current.cpu];
  const i = vpn & TLB_MASK;
  const tag = mm.tlb_tag + vpn;
  if ((write ? cpu.wtag[i] : cpu.rtag[i]) === tag) return i;
  return (write ? cpu.lazy_wtag[i] : cpu.lazy_rtag[i]) === tag ? i : -1;
}

/** Gives the page of a TLB entry bytes. NON-KERNEL. */
export function tlb_need_bytes(cpu: Cpu, i: number): void {
  if (cpu.lazy_rtag[i] === -1) return;
  (cpu.slab[i] as Slab).need_bytes(cpu.base[i] / (PAGE_SIZE / 4));
  cpu.rtag[i] = cpu.lazy_rtag[i];
  cpu.wtag[i] = cpu.lazy_wtag[i];
  cpu.lazy_rtag[i] = -1;
  cpu.lazy_wtag[i] = -1;
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
 * Walks the page tables for an access that needs the flags of `need` set and those of `avoid` clear, and marks the
 * entry used. Returns the entry with the pfn of the page itself, also of a huge one, or 0 for a page fault. NON-KERNEL:
 * hardware.
 */
function walk_leaf(mm: mm_struct, addr: number, need: number, avoid: number, write: boolean): number {
  const pudt = mm.pgd.child?.[pgd_index(addr)];
  if (!pudt) return 0;
  const ui = pud_index(addr);
  let e = pudt.entry[ui];
  if ((e & _PAGE_PSE) !== 0) {
    if ((e & (need | avoid)) !== need) return 0;
    return pte_advance_pfn(mark_used(pudt, ui, e, write), (addr % PUD_SIZE) / PAGE_SIZE);
  }
  const pmdt = pudt.child?.[ui];
  if (!pmdt) return 0;
  const pi = pmd_index(addr);
  e = pmdt.entry[pi];
  if ((e & _PAGE_PSE) !== 0) {
    if ((e & (need | avoid)) !== need) return 0;
    return pte_advance_pfn(mark_used(pmdt, pi, e, write), (addr % PMD_SIZE) / PAGE_SIZE);
  }
  const pt = (e & _PAGE_TABLE) !== 0 ? pmdt.child?.[pi] : null;
  if (!pt) return 0;
  const i = pte_index(addr);
  e = pt.entry[i];
  return (e & (need | avoid)) === need ? mark_used(pt, i, e, write) : 0;
}

/**
 * Walks the page tables after a TLB miss, sets the accessed and for a write the dirty bit, and fills the TLB. Returns
 * the index of the TLB entry, or -1 for a page fault. NON-KERNEL: hardware.
 */
export function hardware_walk(m: Machine, mm: mm_struct, vpn: number, write: boolean): number {
  const need = _PAGE_PRESENT | _PAGE_USER | (write ? _PAGE_RW : 0);
  const e = walk_leaf(mm, vpn * PAGE_SIZE, need, 0, write);
  if (e === 0) return -1;
  // A read through a writable, dirty entry caches the write permission too, as the hardware does.
  const both = _PAGE_RW | _PAGE_DIRTY;
  return tlb_fill(m, m.cpus[m.current.cpu], mm, vpn, pte_pfn(e), write || (e & both) === both);
}

/**
 * Walks the page tables for an instruction fetch, which the data TLB takes no part in. Returns the pfn, or -1 for a
 * page fault. NON-KERNEL: hardware.
 */
export function hardware_fetch(mm: mm_struct, vpn: number): number {
  const e = walk_leaf(mm, vpn * PAGE_SIZE, _PAGE_PRESENT | _PAGE_USER, _PAGE_NX, false);
  return e === 0 ? -1 : pte_pfn(e);
}

/** Takes the write permission for a page of a slab from every TLB entry, so that the next store walks. NON-KERNEL. */
export function tlb_write_protect(m: Machine, slab: Slab, at: number): void {
  const base = at * (PAGE_SIZE / 4);
  for (const cpu of m.cpus) {
    for (let i = 0; i < TLB_ENTRIES; i++) if (cpu.base[i] === base && cpu.slab[i] === slab) cpu.wtag[i] = -1;
  }
}

/** Returns the tag of the mm's TLB entries, which it gets before its first one. NON-KERNEL. */
export function tlb_tag(m: Machine, mm: mm_struct): number {
  if (mm.tlb_tag === 0) new_context(m, mm);
  return mm.tlb_tag;
}

/** Removes the mm's entries from one CPU's TLB. NON-KERNEL: hardware (INVPCID). */
function drop_context(cpu: Cpu, mm: mm_struct): void {
  if (mm.tlb_tag === 0) return;
  for (const tags of [cpu.rtag, cpu.wtag, cpu.lazy_rtag, cpu.lazy_wtag]) {
    for (let i = 0; i < TLB_ENTRIES; i++) if (tags[i] >= mm.tlb_tag && tags[i] < mm.tlb_tag + TAG_SPAN) tags[i] = -1;
  }
}

/** Flushes the mm on a CPU that has a flush of it outstanding. NON-KERNEL (arch/x86/mm/tlb.c: flush_tlb_func()). */
function catch_up(m: Machine, cpu: number, mm: mm_struct): void {
  const bit = 1 << cpu;
  if ((mm.tlb_behind & bit) === 0) return;
  mm.tlb_behind &= ~bit;
  drop_context(m.cpus[cpu], mm);
}

/**
 * Called when a CPU goes on with a task of the mm. It does flushes that were put off and that the CPU has not seen, but
 * not between two tasks of one mm (arch/x86/mm/tlb.c: switch_mm_irqs_off()).
 */
export function switch_mm_irqs_off(m: Machine, mm: mm_struct, cpu: number): void {
  if (m.cpus[cpu].loaded_mm === mm) return;
  m.cpus[cpu].loaded_mm = mm;
  mm.cpumask |= 1 << cpu;
  catch_up(m, cpu, mm);
}

/** Returns true if another CPU than this one may hold entries (arch/x86/include/asm/tlbflush.h: arch_tlbbatch_should_defer()). */
export function arch_tlbbatch_should_defer(m: Machine, mm: mm_struct): boolean {
  return (mm.cpumask & ~(1 << m.current.cpu)) !== 0;
}

/** Puts off a flush of the mm (arch/x86/include/asm/tlbflush.h: arch_tlbbatch_add_pending()). */
export function arch_tlbbatch_add_pending(batch: tlbflush_unmap_batch, mm: mm_struct): void {
  mm.tlb_gen++;
  mm.tlb_behind |= mm.cpumask;
  batch.cpumask |= mm.cpumask;
}

/**
 * Flushes what was put off on the CPUs of the batch (arch/x86/mm/tlb.c: arch_tlbbatch_flush()). Also flushes address
 * spaces that a CPU has not loaded, which upstream does once it loads them.
 */
export function arch_tlbbatch_flush(m: Machine, batch: tlbflush_unmap_batch): void {
  m.tlb_flushes++;
  for (const { id } of m.cpus) {
    if ((batch.cpumask & (1 << id)) !== 0) for (const mm of m.mms) catch_up(m, id, mm);
  }
  batch.cpumask = 0;
}

/** Removes a translation from a CPU's TLB. NON-KERNEL: hardware (INVLPG). */
function drop(cpu: Cpu, tag: number, vpn: number): void {
  const i = vpn & TLB_MASK;
  if (cpu.rtag[i] === tag || cpu.lazy_rtag[i] === tag) {
    cpu.rtag[i] = -1;
    cpu.wtag[i] = -1;
    cpu.lazy_rtag[i] = -1;
    cpu.lazy_wtag[i] = -1;
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
  mm.tlb_gen++;
  if (mm.tlb_tag === 0) return;
  // A CPU that has a flush outstanding flushes everything, whatever the range.
  if (mm.tlb_behind !== 0 || (end - start) / 2 ** stride_shift > tlb_single_page_flush_ceiling) {
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
  mm.tlb_gen++;
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
    const tag = Math.max(cpu.rtag[i], cpu.lazy_rtag[i]);
    if (tag < 0) continue;
    const mm = by_tag.get(Math.floor(tag / TAG_SPAN));
    if (mm === undefined) continue;
    found.push({
      mm,
      addr: (tag % TAG_SPAN) * PAGE_SIZE,
      pfn: cpu.pfn[i],
      write: cpu.wtag[i] === tag || cpu.lazy_wtag[i] === tag,
    });
  }
  return found;
}
