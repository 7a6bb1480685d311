// SPDX-License-Identifier: GPL-2.0-only
// For tests of the CPU. NON-KERNEL throughout.

// A memory management unit for tests of the CPU: pages that the test maps, no model behind them.

import type { Mmu } from './cpu.ts';
import { TLB_BYTES, TLB_LAYOUT } from './layout.ts';
import type { UserMemory } from './memory.ts';
import { PAGE_SIZE } from '../../../mm/contents.ts';

const TLB_ENTRIES = 4096;
const TAG = 2 ** 52 + 2 ** 35;

interface TestPage {
  readonly at: number;
  write: boolean;
  exec: boolean;
}

export class TestMmu implements Mmu {
  readonly memory: UserMemory;
  readonly pages = new Map<number, TestPage>();
  /** translations that missed the inline TLB */
  walks = 0;
  now = 0;
  private readonly tlb_at: number;
  private next: number;
  private generation_count = 0;
  private readonly guards = new Map<number, number>();
  private guard_count = 0;

  constructor(memory: UserMemory) {
    this.memory = memory;
    this.tlb_at = memory.take().at;
    this.next = this.tlb_at + 2 ** 17;
    this.flush();
  }

  /** Maps a fresh page at an address; all of this object's pages are in one slab. */
  map(addr: number, write: boolean, exec: boolean): number {
    const at = this.next;
    this.next += PAGE_SIZE;
    this.pages.set(Math.floor(addr / PAGE_SIZE), { at, write, exec });
    return at;
  }

  unmap(addr: number): void {
    this.pages.delete(Math.floor(addr / PAGE_SIZE));
    this.flush();
  }

  flush(): void {
    const { view } = this.memory;
    for (let at = this.tlb_at; at < this.tlb_at + TLB_BYTES; at += 8) view.setFloat64(at, -1, true);
    this.generation_count++;
  }

  /** Writes as the kernel would. */
  poke(addr: number, bytes: ArrayLike<number>): void {
    for (let k = 0; k < bytes.length; k++) {
      const page = this.pages.get(Math.floor((addr + k) / PAGE_SIZE)) as TestPage;
      this.unguard(page.at);
      this.memory.u8[page.at + ((addr + k) % PAGE_SIZE)] = bytes[k];
    }
  }

  peek(addr: number, n: number): Uint8Array {
    return Uint8Array.from({ length: n }, (_, k) => {
      const page = this.pages.get(Math.floor((addr + k) / PAGE_SIZE)) as TestPage;
      return this.memory.u8[page.at + ((addr + k) % PAGE_SIZE)];
    });
  }

  private unguard(page: number): void {
    if (this.guards.delete(page)) this.generation_count++;
  }

  tlb(): number {
    return this.tlb_at;
  }
  tag(): number {
    return TAG;
  }
  space(): object {
    return this;
  }
  generation(): number {
    return this.generation_count;
  }
  tsc(): number {
    return this.now;
  }

  walk(addr: number, write: boolean): number {
    this.walks++;
    const vpn = Math.floor(addr / PAGE_SIZE);
    const page = this.pages.get(vpn);
    if (page === undefined || (write && !page.write)) return -1;
    if (write) this.unguard(page.at);
    const { view } = this.memory;
    const entry = this.tlb_at + (vpn % TLB_ENTRIES) * 8;
    const old = view.getFloat64(entry + TLB_LAYOUT.WRITE_TAG, true);
    view.setFloat64(entry + TLB_LAYOUT.READ_TAG, TAG + vpn, true);
    view.setFloat64(entry + TLB_LAYOUT.WRITE_TAG, write || old === TAG + vpn ? TAG + vpn : -1, true);
    view.setInt32(entry + TLB_LAYOUT.ADDEND, ((page.at - vpn * PAGE_SIZE) % 2 ** 32) | 0, true);
    return page.at + (addr % PAGE_SIZE);
  }

  fetch(addr: number): number {
    const page = this.pages.get(Math.floor(addr / PAGE_SIZE));
    return page !== undefined && page.exec ? page.at : -1;
  }

  guard(at: number): number {
    const old = this.guards.get(at);
    if (old !== undefined) return old;
    this.guards.set(at, ++this.guard_count);
    for (const [vpn, page] of this.pages) {
      if (page.at === at)
        this.memory.view.setFloat64(this.tlb_at + (vpn % TLB_ENTRIES) * 8 + TLB_LAYOUT.WRITE_TAG, -1, true);
    }
    return this.guard_count;
  }
}
