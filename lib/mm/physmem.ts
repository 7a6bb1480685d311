// SPDX-License-Identifier: GPL-2.0-only

import { SLAB_BYTES, type UserMemory } from '../arch/x86/user/memory.ts';
import { Oops } from '../kernel/printk.ts';

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
/** pfns in a section of the memory map, 128 MiB (arch/x86/include/asm/sparsemem.h: SECTION_SIZE_BITS) */
export const PAGES_PER_SECTION = 32768;
const SECTION_SHIFT = 15;
/** pfns per allocation of contents: 2 MiB, so that a huge page is contiguous */
const SLAB_PAGES = 512;

/** Contents of 2 MiB of physical memory. NON-KERNEL. */
export interface Slab {
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  /** 1 for a page that was accessed before and may not be zero; USED_CODE too, for one with translated code */
  readonly used: Uint8Array;
  /** byte offset in user memory, 0 for contents that are elsewhere */
  readonly at: number;
}

/** In Slab.used: nobody wrote to the page since code of it was translated (lib/arch/x86/user). */
export const USED_CODE = 2;

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
 * The contents of physical memory and the kernel's linear map of it. Contents are allocated at the first access; pfns
 * are below 2^31. NON-KERNEL (upstream: the linear map of arch/x86/mm/init_64.c).
 */
export class PhysMem {
  private readonly sections: (Section | undefined)[] = [];
  /** slabs in user memory, by the number of the slab there */
  private readonly placed: (Slab | undefined)[] = [];
  private readonly memory: UserMemory | null;
  /** pages with translated code that may have been written to, so far */
  code_writes = 0;

  /** With `memory` contents are allocated there, for programs that run on the CPU; release() gives them back. */
  constructor(memory: UserMemory | null = null) {
    this.memory = memory;
  }

  /** Frees all contents in user memory when the machine has ended. */
  release(): void {
    for (const s of this.sections) for (let i = 0; i < (s?.slabs.length ?? 0); i++) this.drop_slab(s as Section, i);
  }

  private drop_slab(s: Section, i: number): void {
    const slab = s.slabs[i];
    s.slabs[i] = undefined;
    if (slab === undefined || this.memory === null) return;
    this.placed[slab.at / SLAB_BYTES] = undefined;
    this.memory.give_slab(slab.at, slab.used);
  }

  private new_slab(): Slab {
    const used = new Uint8Array(SLAB_PAGES);
    if (this.memory === null) {
      const bytes = new ArrayBuffer(SLAB_BYTES);
      return { u8: new Uint8Array(bytes), u32: new Uint32Array(bytes), used, at: 0 };
    }
    const at = this.memory.take_slab();
    const { buffer } = this.memory.memory;
    const slab = {
      u8: new Uint8Array(buffer, at, SLAB_BYTES),
      u32: new Uint32Array(buffer, at, SLAB_BYTES / 4),
      used,
      at,
    };
    this.placed[at / SLAB_BYTES] = slab;
    return slab;
  }

  /** Returns the slab at a byte offset in user memory. */
  slab_at(offset: number): Slab {
    const slab = this.placed[Math.floor(offset / SLAB_BYTES)];
    if (slab === undefined) throw new RangeError(`user memory at ${offset} is none of this machine's`);
    return slab;
  }

  /** Marks page `at` of the slab as used. */
  touch(slab: Slab, at: number): void {
    if (slab.used[at] === USED_CODE) this.code_writes++;
    slab.used[at] = 1;
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

  /** Copies `nr` pages from `pfn` on to `to` at byte offset `at`. An access outside the linear map is an oops. */
  read(pfn: number, nr: number, to: Uint8Array, at: number): void {
    while (nr > 0) {
      const slab = this.slab(pfn);
      const i = pfn & (SLAB_PAGES - 1);
      const n = Math.min(nr, SLAB_PAGES - i);
      to.set(slab.u8.subarray(i * PAGE_SIZE, (i + n) * PAGE_SIZE), at);
      pfn += n;
      nr -= n;
      at += n * PAGE_SIZE;
    }
  }

  /** Zeroes a page; one that was never accessed is zero already (include/linux/highmem.h: clear_highpage()). */
  clear(pfn: number): void {
    const slab = this.slab(pfn);
    const at = pfn & (SLAB_PAGES - 1);
    const clean = slab.used[at] === 0;
    this.touch(slab, at);
    if (!clean) slab.u8.fill(0, at * PAGE_SIZE, (at + 1) * PAGE_SIZE);
  }

  /** Copies pages between two ranges of the linear map. */
  copy(dst: number, src: number, nr = 1): void {
    while (nr > 0) {
      const d = this.slab(dst);
      const s = this.slab(src);
      const di = dst & (SLAB_PAGES - 1);
      const si = src & (SLAB_PAGES - 1);
      const n = Math.min(nr, SLAB_PAGES - di, SLAB_PAGES - si);
      for (let k = 0; k < n; k++) {
        this.touch(d, di + k);
        if (s.used[si + k] === 0) s.used[si + k] = 1;
      }
      if (d === s) d.u8.copyWithin(di * PAGE_SIZE, si * PAGE_SIZE, (si + n) * PAGE_SIZE);
      else d.u8.set(s.u8.subarray(si * PAGE_SIZE, (si + n) * PAGE_SIZE), di * PAGE_SIZE);
      dst += n;
      src += n;
      nr -= n;
    }
  }

  /** Returns the bytes of contents that are allocated. */
  resident_bytes(): number {
    let n = 0;
    for (const s of this.sections) for (const slab of s?.slabs ?? []) if (slab !== undefined) n += slab.u8.length;
    return n;
  }
}

/** Returns the pfn's address in the linear map, in hexadecimal. NON-KERNEL (upstream: __va()). */
function linear_address(pfn: number): string {
  return (0xffff888000000000n + BigInt(pfn) * 4096n).toString(16);
}
