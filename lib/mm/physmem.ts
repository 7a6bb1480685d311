// SPDX-License-Identifier: GPL-2.0-only

import type { UserMemory } from '../arch/x86/user/memory.ts';
import { Oops } from '../kernel/printk.ts';
import { PAGE_SIZE, page_pool, type PageBuffer, Slab, SLAB_BYTES, SLAB_PAGES, USED, USED_CODE } from './contents.ts';

export { PAGE_SHIFT, PAGE_SIZE, Slab, USED_CODE } from './contents.ts';
/** pfns in a section of the memory map, 128 MiB (arch/x86/include/asm/sparsemem.h: SECTION_SIZE_BITS) */
export const PAGES_PER_SECTION = 32768;
const SECTION_SHIFT = 15;

/** 128 MiB of physical address space in use. NON-KERNEL (upstream: struct mem_section). */
interface Section {
  readonly pfn: number;
  /** the first page's row in the memory map, 0 while the section has no struct pages */
  page_base: number;
  /** for each slab: 1 if the linear map covers it */
  readonly linear: Uint8Array;
  readonly slabs: (Slab | undefined)[];
}

/**
 * The contents of physical memory and the kernel's linear map of it. pfns are below 2^31. NON-KERNEL (upstream: the
 * linear map of arch/x86/mm/init_64.c).
 */
export class PhysMem {
  private readonly sections: (Section | undefined)[] = [];
  /** slabs in user memory, by the number of the slab there */
  private readonly placed: (Slab | undefined)[] = [];
  private readonly memory: UserMemory | null;
  /** pages with translated code that may have been written to, so far */
  code_writes = 0;

  /** With `memory` contents are in there, for programs that run on the CPU. */
  constructor(memory: UserMemory | null = null) {
    this.memory = memory;
  }

  /** Gives back all memory of contents when the machine has ended. */
  release(): void {
    for (const s of this.sections) for (const slab of s?.slabs ?? []) slab?.release();
    this.placed.length = 0;
  }

  private drop_slab(s: Section, i: number): void {
    const slab = s.slabs[i];
    s.slabs[i] = undefined;
    // Contents outside user memory are the collector's: a stale TLB entry, or a snapshot, may have them still.
    if (slab === undefined || this.memory === null) return;
    this.placed[slab.at / SLAB_BYTES] = undefined;
    slab.release();
  }

  private new_slab(): Slab {
    if (this.memory === null) return new Slab(page_pool);
    // translated code finds the bytes by their offset, so they have one from the start
    const slab = new Slab(this.memory);
    slab.need_block();
    this.placed[slab.at / SLAB_BYTES] = slab;
    return slab;
  }

  /** Returns the slab at a byte offset in user memory. */
  slab_at(offset: number): Slab {
    const slab = this.placed[Math.floor(offset / SLAB_BYTES)];
    if (slab === undefined) throw new RangeError(`user memory at ${offset} is none of this machine's`);
    return slab;
  }

  /** Gives page `at` of the slab bytes, which may be written from now on. */
  touch(slab: Slab, at: number): void {
    if (slab.used[at] === USED_CODE) this.code_write(slab, at);
    else slab.need_bytes(at);
  }

  private code_write(slab: Slab, at: number): void {
    this.code_writes++;
    slab.used[at] = USED;
  }

  section(pfn: number): Section {
    const i = pfn >>> SECTION_SHIFT;
    let s = this.sections[i];
    if (s === undefined) {
      s = {
        pfn: i * PAGES_PER_SECTION,
        page_base: 0,
        linear: new Uint8Array(PAGES_PER_SECTION / SLAB_PAGES),
        slabs: [],
      };
      while (this.sections.length <= i) this.sections.push(undefined);
      this.sections[i] = s;
    }
    return s;
  }

  /** Returns the section if it is in use. */
  section_if_present(pfn: number): Section | undefined {
    return this.sections[pfn >>> SECTION_SHIFT];
  }

  /** Maps or unmaps pfns [pfn, pfn+nr) in the linear map; both must be multiples of 512. */
  set_linear(pfn: number, nr: number, on: boolean): void {
    for (let p = pfn; p < pfn + nr; p += SLAB_PAGES) {
      const s = this.section(p);
      const i = (p - s.pfn) / SLAB_PAGES;
      s.linear[i] = on ? 1 : 0;
      if (!on) this.drop_slab(s, i);
    }
  }

  /** Returns true if the linear map covers the pfn. */
  is_linear(pfn: number): boolean {
    const s = this.sections[pfn >>> SECTION_SHIFT];
    return s !== undefined && s.linear[(pfn & (PAGES_PER_SECTION - 1)) >>> 9] === 1;
  }

  /** Returns the contents around a pfn. An access outside the linear map is an oops. */
  slab(pfn: number): Slab {
    const s = this.sections[pfn >>> SECTION_SHIFT];
    const i = (pfn & (PAGES_PER_SECTION - 1)) >>> 9;
    if (s === undefined || s.linear[i] !== 1) {
      throw new Oops(`BUG: unable to handle page fault for address: ${linear_address(pfn)}`);
    }
    let slab = s.slabs[i];
    if (slab === undefined) {
      slab = this.new_slab();
      s.slabs[i] = slab;
    }
    return slab;
  }

  /** Returns the contents of one page (include/linux/highmem-internal.h: kmap_local_page()). */
  bytes(pfn: number): Uint8Array {
    const slab = this.slab(pfn);
    const at = pfn & (SLAB_PAGES - 1);
    this.touch(slab, at);
    return slab.u8.subarray(at * PAGE_SIZE, (at + 1) * PAGE_SIZE);
  }

  /** Copies `nr` pages from `pfn` on to a buffer's byte offset. An access outside the linear map is an oops. */
  read(pfn: number, nr: number, to: PageBuffer, at: number): void {
    while (nr > 0) {
      const slab = this.slab(pfn);
      const i = pfn & (SLAB_PAGES - 1);
      const n = Math.min(nr, SLAB_PAGES - i);
      to.take_pages(at, slab, i, n);
      pfn += n;
      nr -= n;
      at += n * PAGE_SIZE;
    }
  }

  /** Copies the page at a buffer's byte offset to `pfn`. */
  write(pfn: number, from: PageBuffer, at: number): void {
    const slab = this.slab(pfn);
    const i = pfn & (SLAB_PAGES - 1);
    if (slab.used[i] === USED_CODE) this.code_write(slab, i);
    from.give_page(at, slab, i);
  }

  /** Zeroes a page (include/linux/highmem.h: clear_highpage()). */
  clear(pfn: number): void {
    const slab = this.slab(pfn);
    const at = pfn & (SLAB_PAGES - 1);
    if (slab.used[at] === USED_CODE) this.code_write(slab, at);
    slab.fill(at, 0);
  }

  /** Copies pages between two ranges of the linear map, which do not overlap. */
  copy(dst: number, src: number, nr = 1): void {
    while (nr > 0) {
      const d = this.slab(dst);
      const s = this.slab(src);
      const di = dst & (SLAB_PAGES - 1);
      const si = src & (SLAB_PAGES - 1);
      const n = Math.min(nr, SLAB_PAGES - di, SLAB_PAGES - si);
      for (let k = di; k < di + n; k++) if (d.used[k] === USED_CODE) this.code_write(d, k);
      d.copy(di, s, si, n);
      dst += n;
      src += n;
      nr -= n;
    }
  }

  /** Returns true if a page contains only zeroes. */
  is_zero(pfn: number): boolean {
    return this.slab(pfn).is_zero(pfn & (SLAB_PAGES - 1));
  }

  /** Returns the bytes of contents that are allocated. */
  resident_bytes(): number {
    let n = 0;
    for (const s of this.sections) for (const slab of s?.slabs ?? []) n += slab?.u8.length ?? 0;
    return n;
  }
}

/** Returns the pfn's address in the linear map, in hexadecimal. NON-KERNEL (upstream: __va()). */
function linear_address(pfn: number): string {
  return (0xffff888000000000n + BigInt(pfn) * 4096n).toString(16);
}
