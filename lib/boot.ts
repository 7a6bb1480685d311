// SPDX-License-Identifier: GPL-2.0-only

import { Cpu } from './arch/x86/mm/tlb.ts';
import type { address_space } from './fs/fs.ts';
import { vfs_state } from './fs/namei.ts';
import { machine_init } from './init/main.ts';
import { module_state } from './kernel/module.ts';
import { KernelLog } from './kernel/printk.ts';
import { resource_state } from './kernel/resource.ts';
import { RoundRobin, Scheduler, type Strategy, task_struct } from './kernel/sched/core.ts';
import type { wait_queue_head } from './kernel/sched/wait.ts';
import { device_private_numbering, type device_private_numbers } from './mm/device_private.ts';
import type { folio_waitqueue } from './mm/filemap/folio_lock.ts';
import { lru_state } from './mm/folio.ts';
import { thp_state } from './mm/huge_memory/sysfs.ts';
import { hugetlb_state } from './mm/hugetlb/pool.ts';
import type { dev_pagemap } from './mm/memremap.ts';
import type { anon_vma, mm_struct } from './mm/mm_types.ts';
import { Vmemmap } from './mm/page.ts';
import { zone } from './mm/page_alloc.ts';
import { PhysMem } from './mm/physmem.ts';
import { slab_state } from './mm/slub.ts';
import { initcalls, modules } from './modules.ts';
import type { PatchId } from './patches/index.ts';

/** How a machine is made. Everything has a default. */
export interface MachineConfig {
  /** bytes of RAM, a multiple of 4 MiB; default 6 GiB */
  mem?: number;
  /** /sys/kernel/mm/transparent_hugepage/enabled; default always */
  thp?: 'always' | 'madvise' | 'never';
  /** physical ranges kept from the allocator (memmap=SIZE!ADDR on the command line), such as coherent device memory */
  reserved?: { start: number; size: number }[];
  /** bits of a physical address, 32 to 43; default 40 */
  phys_bits?: number;
  /** persistent 2 MiB hugetlb pages at boot; default 0 */
  nr_hugepages?: number;
  /** CPUs, 1 to 32; default 2 */
  cpus?: number;
  /** seed of the machine's random numbers; default 1 */
  seed?: number;
  /** who chooses among the runnable tasks; default round robin */
  strategy?: Strategy;
  /** built with CONFIG_FAULT_INJECTION: /proc/self/fail-nth makes an allocation fail; default false */
  fault_injection?: boolean;
  /** patch states that differ from Linux 7.3.4 (lib/patches) */
  patches?: readonly PatchId[];
}

/** A table of live kernel objects that struct page names by number; 0 is NULL. NON-KERNEL. */
export class Registry<T> {
  private readonly items: (T | null)[] = [null];
  private readonly free: number[] = [];

  /** Makes a number for what `make` builds. */
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
 * One modelled computer with its kernel. Kernel functions that use any of its state take it first, as `m`. NON-KERNEL.
 */
export class Machine {
  readonly config: Required<MachineConfig>;
  readonly patches: ReadonlySet<PatchId>;
  readonly log = new KernelLog();
  readonly sched: Scheduler;
  /** the task whose kernel or user code runs now */
  current: task_struct;
  readonly cpus: Cpu[] = [];
  readonly ram = new PhysMem();
  readonly page: Vmemmap;
  /** how device-private pages are numbered */
  readonly device_private: device_private_numbers;
  readonly zone = new zone();
  readonly iomem: resource_state;
  /** anon_vmas and address_spaces by the number that page->mapping holds */
  readonly mappings = new Registry<anon_vma | address_space>();
  /** dev_pagemaps by the number that page->pgmap holds */
  readonly pgmaps = new Registry<dev_pagemap>();
  readonly lru: lru_state;
  readonly slab = new slab_state();
  readonly thp: thp_state;
  readonly hugetlb: hugetlb_state;
  readonly vfs: vfs_state;
  readonly modules: module_state;
  /** who waits for a folio's lock, by folio (mm/filemap.c: folio_wait_table) */
  readonly folio_wait = new Map<number, folio_waitqueue>();
  /** the page of zeroes that reads of untouched memory map (ZERO_PAGE(0)) */
  zero_page = 0;
  /** pages promised to private writable mappings (mm/util.c: vm_committed_as) */
  vm_committed_as = 0;
  /** mm_structs that are not freed yet, for the audit */
  readonly mms = new Set<mm_struct>();
  /** tasks that exited and that nobody waited for yet */
  readonly zombies: task_struct[] = [];
  /** who waits for children, by thread group (struct signal_struct: wait_chldexit) */
  readonly wait_chldexit = new Map<number, wait_queue_head>();
  /** who polls a process's pidfd, by thread group (struct pid: wait_pidfd) */
  readonly wait_pidfd = new Map<number, wait_queue_head>();
  /** Called when user code reaches a page through a TLB entry after the page was freed; null: nobody looks */
  on_stale_access: ((text: string) => void) | null = null;
  next_pid = 1;
  /** next number of an address space in the TLBs' tags, see arch/x86/mm/tlb.ts */
  tlb_next_ctx = 1;
  /** TLB flushes since boot */
  tlb_flushes = 0;

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
    };
    this.patches = new Set(this.config.patches);
    this.sched = new Scheduler(this, this.config.strategy);
    this.page = new Vmemmap(this);
    this.device_private = device_private_numbering(this);
    for (let i = 0; i < this.config.cpus; i++) this.cpus.push(new Cpu(i));
    this.current = new task_struct(0, 'swapper');
    this.iomem = new resource_state(this);
    this.lru = new lru_state(this);
    this.thp = new thp_state(this);
    this.hugetlb = new hugetlb_state(this);
    this.vfs = new vfs_state(this);
    this.modules = new module_state(modules);
  }
}

/**
 * Starts a machine: memory, file systems and the built-in drivers are there, no process is. Throws on a configuration
 * out of range.
 */
export function boot(config: MachineConfig = {}): Machine {
  const m = new Machine(config);
  machine_init(m, initcalls);
  return m;
}
