// SPDX-License-Identifier: GPL-2.0-only

import { Cpu } from './arch/x86/mm/tlb.ts';
import { TLB_BYTES } from './arch/x86/user/layout.ts';
import type { UserMemory } from './arch/x86/user/memory.ts';
import type { address_space } from './fs/fs.ts';
import { vfs_state } from './fs/namei.ts';
import { futex_state } from './kernel/futex.ts';
import { module_state } from './kernel/module.ts';
import { KernelLog } from './kernel/printk.ts';
import { resource_state } from './kernel/resource.ts';
import { RoundRobin, Scheduler, type Strategy, task_struct } from './kernel/sched/core.ts';
import type { wait_queue_head } from './kernel/sched/wait.ts';
import type { device_private_numbers } from './mm/device_private.ts';
import type { folio_waitqueue } from './mm/filemap/folio_lock.ts';
import { lru_state } from './mm/folio.ts';
import { thp_state } from './mm/huge_memory/sysfs.ts';
import { hugetlb_state } from './mm/hugetlb/pool.ts';
import type { dev_pagemap } from './mm/memremap.ts';
import type { anon_vma, mm_struct } from './mm/mm_types.ts';
import { Vmemmap } from './mm/page.ts';
import { zone } from './mm/page_alloc.ts';
import type { Block } from './mm/contents.ts';
import { PhysMem } from './mm/physmem.ts';
import { slab_state } from './mm/slub.ts';
import { modules } from './modules.ts';
import { apply_patches } from './patches/apply.ts';
import type { Patch, PatchId } from './patches/index.ts';
import type { Seams } from './patches/seams.ts';

/** Configuration of a machine; every field has a default. */
export interface MachineConfig {
  /** bytes of RAM, a multiple of 4 MiB; default 6 GiB */
  mem?: number;
  /** /sys/kernel/mm/transparent_hugepage/enabled; default always */
  thp?: 'always' | 'madvise' | 'never';
  /** physical ranges withheld from the allocator (memmap=SIZE!ADDR), such as coherent device memory */
  reserved?: { start: number; size: number }[];
  /** bits of a physical address, 32 to 43; default 40 */
  phys_bits?: number;
  /** persistent 2 MiB hugetlb pages at boot; default 0 */
  nr_hugepages?: number;
  /** CPUs, 1 to 32; default 2 */
  cpus?: number;
  /** seed of the machine's random numbers; default 1 */
  seed?: number;
  /** chooses among the runnable tasks; default round robin */
  strategy?: Strategy;
  /** CONFIG_FAULT_INJECTION, for /proc/self/fail-nth; default false */
  fault_injection?: boolean;
  /** patch states that differ from Linux 7.3.4 (lib/patches) */
  patches?: readonly PatchId[];
  /** holds page contents and TLBs, for programs that run on the CPU (lib/arch/x86/user); release() gives them back */
  user_memory?: UserMemory | null;
}

/** CLOCK_REALTIME at boot, 2026-01-01 00:00:00 UTC in ns. */
const BOOT_TIME_NS = 1767225600e9;

/** A table of kernel objects that struct page refers to by index; index 0 is NULL. NON-KERNEL. */
export class Registry<T> {
  private readonly items: (T | null)[] = [null];
  private readonly free: number[] = [];

  /** Adds the object that `make` builds for a free index. */
  add(make: (id: number) => T): T {
    const id = this.free.pop() ?? this.items.length;
    const item = make(id);
    this.items[id] = item;
    return item;
  }
  get(id: number): T | null {
    return this.items[id] ?? null;
  }
  remove(id: number): void {
    this.items[id] = null;
    this.free.push(id);
  }
  live(): T[] {
    return this.items.filter((x): x is T => x !== null);
  }
}

/**
 * A modelled computer with its kernel. Kernel functions that use its state take it as first parameter, `m`. NON-KERNEL.
 */
export class Machine {
  readonly config: Required<MachineConfig>;
  readonly patches: ReadonlySet<PatchId>;
  /** what the patch states set */
  readonly patch: Patch;
  /** the functions of which patch states have variants */
  readonly seam: Seams;
  readonly log = new KernelLog();
  readonly sched: Scheduler;
  /** the running task */
  current: task_struct;
  readonly cpus: Cpu[] = [];
  readonly ram: PhysMem;
  readonly page: Vmemmap;
  /** how device-private pages are numbered */
  readonly device_private: device_private_numbers;
  readonly zone = new zone();
  readonly iomem: resource_state;
  /** anon_vmas and address_spaces by the id in page->mapping */
  readonly mappings = new Registry<anon_vma | address_space>();
  /** dev_pagemaps by the id in page->pgmap */
  readonly pgmaps = new Registry<dev_pagemap>();
  readonly lru: lru_state;
  readonly slab = new slab_state();
  readonly thp: thp_state;
  readonly hugetlb: hugetlb_state;
  readonly vfs: vfs_state;
  readonly futex = new futex_state();
  readonly modules: module_state;
  /** waiters for folio locks, by folio (mm/filemap.c: folio_wait_table) */
  readonly folio_wait = new Map<number, folio_waitqueue>();
  /** ZERO_PAGE(0) */
  zero_page = 0;
  /** pages charged to private writable mappings (mm/util.c: vm_committed_as) */
  vm_committed_as = 0;
  /** mm_structs not freed yet, for the audit */
  readonly mms = new Set<mm_struct>();
  /** tasks that exited and were not reaped yet */
  readonly zombies: task_struct[] = [];
  /** waiters for children, by thread group (struct signal_struct: wait_chldexit) */
  readonly wait_chldexit = new Map<number, wait_queue_head>();
  /** pollers of a pidfd, by thread group (struct pid: wait_pidfd) */
  readonly wait_pidfd = new Map<number, wait_queue_head>();
  /** called when user code accesses a freed page through a stale TLB entry; null if not checked */
  on_stale_access: ((text: string) => void) | null = null;
  next_pid = 1;
  /** next context of an address space in TLB tags, see arch/x86/mm/tlb.ts */
  tlb_next_ctx = 1;
  /** TLB flushes since boot */
  tlb_flushes = 0;

  /** user memory that holds the CPUs' TLBs, null without */
  private readonly tlbs: Block | null;

  constructor(config: MachineConfig) {
    this.config = {
      mem: config.mem ?? 6 * 1024 ** 3,
      thp: config.thp ?? 'always',
      reserved: config.reserved ?? [],
      phys_bits: config.phys_bits ?? 40,
      nr_hugepages: config.nr_hugepages ?? 0,
      cpus: config.cpus ?? 2,
      seed: config.seed ?? 1,
      strategy: config.strategy ?? new RoundRobin(config.seed ?? 1),
      fault_injection: config.fault_injection ?? false,
      patches: config.patches ?? [],
      user_memory: config.user_memory ?? null,
    };
    const memory = this.config.user_memory;
    this.ram = new PhysMem(memory);
    this.tlbs = memory?.take() ?? null;
    this.patches = new Set(this.config.patches);
    const { patch, seam, layout } = apply_patches(this.config.patches);
    this.patch = patch;
    this.seam = seam;
    this.sched = new Scheduler(this, this.config.strategy);
    this.page = new Vmemmap(this);
    this.device_private = seam.device_private_numbers(this, layout);
    for (let i = 0; i < this.config.cpus; i++)
      this.cpus.push(new Cpu(i, memory, this.tlbs === null ? 0 : this.tlbs.at + i * TLB_BYTES));
    this.current = new task_struct(0, 'swapper');
    this.iomem = new resource_state(this);
    this.lru = new lru_state(this);
    this.thp = new thp_state(this);
    this.hugetlb = new hugetlb_state(this);
    this.vfs = new vfs_state(this);
    this.modules = new module_state(modules);
  }

  /** CLOCK_REALTIME in ns: a machine always boots at the same moment. */
  wall_clock(): number {
    return BOOT_TIME_NS + this.sched.now;
  }

  /** Gives back the memory of page contents and TLBs; the machine cannot run any more. */
  release(): void {
    this.ram.release();
    if (this.tlbs !== null) this.config.user_memory?.give(this.tlbs);
  }
}
