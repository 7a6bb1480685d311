// SPDX-License-Identifier: GPL-2.0-only
// The Mmu of a machine. NON-KERNEL throughout.

import type { Machine } from '../../../machine.ts';
import type { mm_struct } from '../../../mm/mm_types.ts';
import { PAGE_SIZE, type Slab, USED_CODE } from '../../../mm/physmem.ts';
import { TASK_SIZE } from '../mm/pgtable/pgtable.ts';
import { hardware_fetch, hardware_walk, tlb_tag, tlb_write_protect } from '../mm/tlb.ts';
import { translate_now } from '../mm/uaccess.ts';
import type { Mmu } from './cpu.ts';
import type { UserMemory } from './memory.ts';

/** The Mmu on a machine's page tables and the TLB of the CPU that the current task runs on. */
export class ModelMmu implements Mmu {
  readonly memory: UserMemory;
  private readonly m: Machine;
  /** what guard() returned for pages that are still USED_CODE, by byte offset */
  private readonly guards = new Map<number, number>();
  private guard_count = 0;

  /** The machine must have been booted with `user_memory`. */
  constructor(m: Machine) {
    const memory = m.config.user_memory;
    if (memory === null) throw new RangeError('a machine that runs compiled programs is booted with user_memory');
    this.m = m;
    this.memory = memory;
  }

  private mm(): mm_struct {
    return this.m.current.mm as mm_struct;
  }

  tlb(): number {
    return this.m.cpus[this.m.current.cpu].tlb;
  }

  tag(): number {
    return tlb_tag(this.m, this.mm());
  }

  space(): object {
    return this.mm();
  }

  generation(): number {
    return this.mm().tlb_gen + this.m.ram.code_writes;
  }

  tsc(): number {
    return this.m.sched.now;
  }

  walk(addr: number, write: boolean): number {
    const i = translate_now(this.m, addr, write);
    if (i < 0) return -1;
    const cpu = this.m.cpus[this.m.current.cpu];
    return (cpu.slab[i] as Slab).at + cpu.base[i] * 4 + (addr % PAGE_SIZE);
  }

  /** True if the page tables map the address, whatever they allow. */
  walk_present(addr: number): boolean {
    return addr < TASK_SIZE && hardware_walk(this.m, this.mm(), Math.floor(addr / PAGE_SIZE), false) >= 0;
  }

  fetch(addr: number): number {
    const pfn = hardware_fetch(this.mm(), Math.floor(addr / PAGE_SIZE));
    if (pfn < 0) return -1;
    const slab = this.m.ram.slab(pfn);
    const at = pfn % slab.used.length;
    slab.need_bytes(at);
    return slab.at + at * PAGE_SIZE;
  }

  guard(page: number): number {
    const slab = this.m.ram.slab_at(page);
    const at = (page - slab.at) / PAGE_SIZE;
    if (slab.used[at] === USED_CODE) return this.guards.get(page) as number;
    slab.used[at] = USED_CODE;
    tlb_write_protect(this.m, slab, at);
    this.guards.set(page, ++this.guard_count);
    return this.guard_count;
  }
}
