// SPDX-License-Identifier: GPL-2.0-only

import type { ptdesc } from '../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../machine.ts';
import type { address_space, file } from '../fs/fs.ts';
import type { Gen } from '../kernel/gen.ts';
import { rw_semaphore } from '../kernel/locking/rwsem.ts';
import { spinlock } from '../kernel/locking/spinlock.ts';
import { null_pointer } from '../kernel/null_pointer.ts';
import { wait_queue_head } from '../kernel/sched/wait.ts';
import type { mmu_notifier_subscriptions } from './mmu_notifier.ts';
import { PG_swapbacked } from './page-flags.ts';
import { FOLIO_MAPPING_ANON } from './page.ts';
import { PAGE_SIZE } from './physmem.ts';
import type { userfaultfd_ctx } from './userfaultfd/userfaultfd.ts';

// vm_flags (include/linux/mm.h: VM_*), which fit in an int32 here. VM_SEALED, upstream's bit 42, has the place of
// VM_ARCH_1, which x86 does not use. Leaves out the other flags above bit 31: VM_DROPPABLE, VM_UFFD_MINOR and VM_UFFD_RWP.
export const VM_NONE = 0;
export const VM_READ = 1 << 0;
export const VM_WRITE = 1 << 1;
export const VM_EXEC = 1 << 2;
export const VM_SHARED = 1 << 3;
export const VM_MAYREAD = 1 << 4;
export const VM_MAYWRITE = 1 << 5;
export const VM_MAYEXEC = 1 << 6;
export const VM_MAYSHARE = 1 << 7;
export const VM_GROWSDOWN = 1 << 8;
export const VM_UFFD_MISSING = 1 << 9;
export const VM_PFNMAP = 1 << 10;
export const VM_MAYBE_GUARD = 1 << 11;
export const VM_UFFD_WP = 1 << 12;
export const VM_LOCKED = 1 << 13;
export const VM_IO = 1 << 14;
export const VM_SEQ_READ = 1 << 15;
export const VM_RAND_READ = 1 << 16;
export const VM_DONTCOPY = 1 << 17;
export const VM_DONTEXPAND = 1 << 18;
export const VM_LOCKONFAULT = 1 << 19;
export const VM_ACCOUNT = 1 << 20;
export const VM_NORESERVE = 1 << 21;
export const VM_HUGETLB = 1 << 22;
export const VM_SYNC = 1 << 23;
export const VM_SEALED = 1 << 24;
export const VM_WIPEONFORK = 1 << 25;
export const VM_DONTDUMP = 1 << 26;
export const VM_SOFTDIRTY = 1 << 27;
export const VM_MIXEDMAP = 1 << 28;
export const VM_HUGEPAGE = 1 << 29;
export const VM_NOHUGEPAGE = 1 << 30;
export const VM_MERGEABLE = 1 << 31;
export const VM_SPECIAL = VM_IO | VM_DONTEXPAND | VM_PFNMAP | VM_MIXEDMAP;
export const VM_ACCESS_FLAGS = VM_READ | VM_WRITE | VM_EXEC;
export const VM_STACK = VM_GROWSDOWN;
export const VM_UFFD_FLAGS = VM_UFFD_MISSING | VM_UFFD_WP;

// mm->rss_stat (include/linux/mm_types_task.h).
export const MM_FILEPAGES = 0;
export const MM_ANONPAGES = 1;
export const MM_SWAPENTS = 2;
export const MM_SHMEMPAGES = 3;

// mm->flags bits (include/linux/mm_types.h: MMF_*), as bit masks.
export const MMF_HUGE_ZERO_FOLIO = 1 << 0;
export const MMF_HAS_PINNED = 1 << 1;
export const MMF_OOM_SKIP = 1 << 2;
export const MMF_UNSTABLE = 1 << 3;
export const MMF_DISABLE_THP = 1 << 4;
export const MMF_HAS_UPROBES = 1 << 5;
export const MMF_VM_HUGEPAGE = 1 << 6;
export const MMF_HAS_MDWE = 1 << 28;
export const MMF_HAS_MDWE_NO_INHERIT = 1 << 29;

/** Links a vma to an anon_vma whose pages it may map (include/linux/rmap.h: struct anon_vma_chain). */
export class anon_vma_chain {
  readonly vma: vm_area_struct;
  readonly anon_vma: anon_vma;
  constructor(vma: vm_area_struct, av: anon_vma) {
    this.vma = vma;
    this.anon_vma = av;
  }
}

/** The vmas that may map an anonymous page (include/linux/rmap.h: struct anon_vma). */
export class anon_vma {
  /** index in m.mappings; page->mapping holds it */
  readonly id: number;
  root: anon_vma;
  /** references other than those of vmas; the root has one for every anon_vma of its tree */
  refcount = 1;
  num_children = 0;
  num_active_vmas = 0;
  parent: anon_vma;
  /** chains of all vmas that may map its pages (upstream: an interval tree) */
  readonly rb_root: anon_vma_chain[] = [];
  /** used on the root only */
  readonly rwsem = new rw_semaphore('anon_vma');
  constructor(id: number) {
    this.id = id;
    this.root = this;
    this.parent = this;
  }
}

/** Operations of a mapping (include/linux/mm.h: struct vm_operations_struct). */
export interface vm_operations_struct {
  open?: (m: Machine, vma: vm_area_struct) => void;
  close?: (m: Machine, vma: vm_area_struct) => Gen<void>;
  may_split?: (m: Machine, vma: vm_area_struct, addr: number) => number;
  fault?: (m: Machine, vmf: vm_fault) => Gen<number>;
  huge_fault?: (m: Machine, vmf: vm_fault, order: number) => Gen<number>;
  map_pages?: (m: Machine, vmf: vm_fault, start_pgoff: number, end_pgoff: number) => Gen<number>;
  page_mkwrite?: (m: Machine, vmf: vm_fault) => Gen<number>;
  pfn_mkwrite?: (m: Machine, vmf: vm_fault) => Gen<number>;
  pagesize?: (vma: vm_area_struct) => number;
  /** for /proc/PID/smaps */
  name?: (vma: vm_area_struct) => string;
}

/** A mapped range of an address space (include/linux/mm_types.h: struct vm_area_struct). */
export class vm_area_struct {
  vm_start: number;
  /** exclusive */
  vm_end: number;
  vm_mm: mm_struct;
  /** VM_* */
  vm_flags = 0;
  /** page protection of new entries, _PAGE_* */
  vm_page_prot = 0;
  readonly anon_vma_chain: anon_vma_chain[] = [];
  anon_vma: anon_vma | null = null;
  vm_ops: vm_operations_struct | null = null;
  /** offset in the file, or for anonymous memory the address at which the range was first mapped, in pages */
  vm_pgoff = 0;
  /** start of the index of anonymous folios in this vma, in pages */
  vm_anon_pgoff = 0;
  vm_file: file | null = null;
  vm_private_data: unknown = null;
  vm_userfaultfd_ctx: userfaultfd_ctx | null = null;
  /** not in an mm: not yet linked, or removed */
  detached = true;
  /** the mm_lock_seq for which the vma is write-locked, see mm/mmap_lock.ts */
  vm_lock_seq = -1;
  vm_readers = 0;
  vm_write_pending = false;
  constructor(mm: mm_struct, start: number, end: number) {
    this.vm_mm = mm;
    this.vm_start = start;
    this.vm_end = end;
  }
}

const VMA_OFFSETS = { vm_start: 0, vm_end: 8, vm_mm: 16, vm_page_prot: 24, vm_flags: 32 } as const;

/** A vma that is not there, for code that does not look whether it is. NON-KERNEL. */
export const NULL_VMA = null_pointer<vm_area_struct>((member) => VMA_OFFSETS[member as keyof typeof VMA_OFFSETS]);

/** An address space (include/linux/mm_types.h: struct mm_struct). */
export class mm_struct {
  readonly m: Machine;
  /** tags this address space's TLB entries and its mappings of large folios (mm_id) */
  readonly mm_id: number;
  /** the vmas in order of address; changed only through mm/vma/vma.ts */
  readonly mm_mt: vm_area_struct[] = [];
  mmap_base = 0x7ffff7fff000;
  task_size = 0x7ffffffff000;
  pgd: ptdesc;
  mm_users = 1;
  mm_count = 1;
  /** bytes of page tables */
  pgtables_bytes = 0;
  readonly page_table_lock = new spinlock('page_table_lock');
  readonly mmap_lock = new rw_semaphore('mmap_lock');
  /** incremented at every release of the mmap write lock, see mm/mmap_lock.ts */
  mm_lock_seq = 0;
  readonly vma_writer_wait = new wait_queue_head('vma readers');
  /** pages */
  total_vm = 0;
  locked_vm = 0;
  pinned_vm = 0;
  data_vm = 0;
  exec_vm = 0;
  stack_vm = 0;
  def_flags = 0;
  /** MMF_* */
  flags = 0;
  /** pages, by MM_* */
  readonly rss_stat = new Int32Array(4);
  hugetlb_usage = 0;
  notifier_subscriptions: mmu_notifier_subscriptions | null = null;
  tlb_flush_pending = 0;
  /** odd while fork copies page tables (write_protect_seq) */
  write_protect_seq = 0;
  start_brk = 0;
  brk = 0;
  /** the program's file, null for a program that is a generator */
  exe_file: file | null = null;
  /** types and values of the auxiliary vector, with AT_NULL */
  saved_auxv: readonly number[] = [];
  /** CPUs whose TLB may hold entries of this mm, bit n for CPU n */
  cpumask = 0;
  /** tag of its TLB entries, see arch/x86/mm/tlb.ts; 0 before the first */
  tlb_tag = 0;
  /** flushes of its translations (mm_context_t: tlb_gen) */
  tlb_gen = 0;
  /** CPUs that have not done a flush that was put off, bit n for CPU n (upstream: their generation is lower) */
  tlb_behind = 0;
  /** see mm/rmap/tlb_batch.ts */
  tlb_flush_batched = 0;
  constructor(m: Machine, id: number, pgd: ptdesc) {
    this.m = m;
    this.mm_id = id;
    this.pgd = pgd;
  }
}

// Fault flags (include/linux/mm_types.h: enum fault_flag).
export const FAULT_FLAG_WRITE = 1 << 0;
export const FAULT_FLAG_MKWRITE = 1 << 1;
export const FAULT_FLAG_ALLOW_RETRY = 1 << 2;
export const FAULT_FLAG_RETRY_NOWAIT = 1 << 3;
export const FAULT_FLAG_KILLABLE = 1 << 4;
export const FAULT_FLAG_TRIED = 1 << 5;
export const FAULT_FLAG_USER = 1 << 6;
export const FAULT_FLAG_REMOTE = 1 << 7;
export const FAULT_FLAG_INSTRUCTION = 1 << 8;
export const FAULT_FLAG_INTERRUPTIBLE = 1 << 9;
export const FAULT_FLAG_UNSHARE = 1 << 10;
export const FAULT_FLAG_ORIG_PTE_VALID = 1 << 11;
export const FAULT_FLAG_VMA_LOCK = 1 << 12;
export const FAULT_FLAG_DEFAULT = FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE | FAULT_FLAG_INTERRUPTIBLE;

// Results of a fault handler (include/linux/mm_types.h: enum vm_fault_reason).
export const VM_FAULT_OOM = 0x1;
export const VM_FAULT_SIGBUS = 0x2;
export const VM_FAULT_MAJOR = 0x4;
export const VM_FAULT_HWPOISON = 0x10;
export const VM_FAULT_HWPOISON_LARGE = 0x20;
export const VM_FAULT_SIGSEGV = 0x40;
export const VM_FAULT_NOPAGE = 0x100;
export const VM_FAULT_LOCKED = 0x200;
export const VM_FAULT_RETRY = 0x400;
export const VM_FAULT_FALLBACK = 0x800;
export const VM_FAULT_DONE_COW = 0x1000;
export const VM_FAULT_NEEDDSYNC = 0x2000;
export const VM_FAULT_COMPLETED = 0x4000;
export const VM_FAULT_ERROR =
  VM_FAULT_OOM | VM_FAULT_SIGBUS | VM_FAULT_SIGSEGV | VM_FAULT_HWPOISON | VM_FAULT_HWPOISON_LARGE | VM_FAULT_FALLBACK;

/** Arguments and state of a page fault (include/linux/mm.h: struct vm_fault). */
export class vm_fault {
  readonly vma: vm_area_struct;
  /** rounded down to a page */
  address: number;
  readonly real_address: number;
  /** FAULT_FLAG_* */
  flags: number;
  /** linear page index within the vma's object */
  readonly pgoff: number;
  /** the pmd table; the entry is at pmd_index(address) */
  pmdt: ptdesc | null = null;
  pudt: ptdesc | null = null;
  orig_pte = 0;
  orig_pmd = 0;
  cow_page = 0;
  /** the page that a ->fault handler returns */
  page = 0;
  /** the pte table while it is mapped, else null; the entry is at pte_index(address) */
  pte: ptdesc | null = null;
  /** a page table allocated in advance */
  prealloc_pte: ptdesc | null = null;
  constructor(vma: vm_area_struct, address: number, flags: number) {
    this.vma = vma;
    this.real_address = address;
    this.address = address - (address % PAGE_SIZE);
    this.flags = flags;
    this.pgoff = (this.address - vma.vm_start) / PAGE_SIZE + vma.vm_pgoff;
  }
}

/** Returns true for anonymous memory, also private /dev/zero (include/linux/mm.h: vma_is_anonymous()). */
export function vma_is_anonymous(vma: vm_area_struct): boolean {
  return vma.vm_ops === null;
}

/** Returns the length in pages (include/linux/mm.h: vma_pages()). */
export function vma_pages(vma: vm_area_struct): number {
  return (vma.vm_end - vma.vm_start) / PAGE_SIZE;
}

/** Returns the address's index within the vma's object, in pages (include/linux/pagemap.h: linear_page_index()). */
export function linear_page_index(vma: vm_area_struct, address: number): number {
  return (address - (address % PAGE_SIZE) - vma.vm_start) / PAGE_SIZE + vma.vm_pgoff;
}

/** include/linux/hugetlb_inline.h: is_vm_hugetlb_page() */
export function is_vm_hugetlb_page(vma: vm_area_struct): boolean {
  return (vma.vm_flags & VM_HUGETLB) !== 0;
}

/** Returns true for a private mapping that may become writable (include/linux/mm.h: vma_is_cow_mapping()). */
export function is_cow_mapping(flags: number): boolean {
  return (flags & (VM_SHARED | VM_MAYWRITE)) === VM_MAYWRITE;
}

/** Adds pages to an MM_* counter (include/linux/mm.h: add_mm_counter()). */
export function add_mm_counter(mm: mm_struct, member: number, value: number): void {
  mm.rss_stat[member] += value;
}

/** The counter MM_* that a page cache folio is counted in (include/linux/mm.h: mm_counter_file()). */
export function mm_counter_file(m: Machine, folio: number): number {
  return m.page.flags[folio] & PG_swapbacked ? MM_SHMEMPAGES : MM_FILEPAGES;
}

/** The counter MM_* that a mapped folio is counted in (include/linux/mm.h: mm_counter()). */
export function mm_counter(m: Machine, folio: number): number {
  return m.page.mapping[folio] & FOLIO_MAPPING_ANON ? MM_ANONPAGES : mm_counter_file(m, folio);
}

export type { address_space };
