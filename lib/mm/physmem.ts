// SPDX-License-Identifier: GPL-2.0-only

import { Oops } from '../kernel/printk.ts';

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
/** pfns in a section of the sparse memory map: 128 MiB (arch/x86/include/asm/sparsemem.h: SECTION_SIZE_BITS 27) */
export const PAGES_PER_SECTION = 32768;
const SECTION_SHIFT = 15;
/** pfns whose bytes are allocated together, 2 MiB, so that a huge page is one piece */
const SLAB_PAGES = 512;

/** 2 MiB of physical memory's bytes. NON-KERNEL. */
export interface Slab {
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  /** 1 for a page that was handed out before, so that its bytes may not be zero */
  readonly used: Uint8Array;
}

/** 128 MiB of physical address space that the kernel knows. */
interface Section {
  readonly pfn: number;
  /** row of the section's first page in the memory map, 0 while none of its struct pages exists */
  page_base: number;
  /** 1 for each slab's worth of pfns that the linear map covers */
  readonly linear: Uint8Array;
  readonly slabs: (Slab | undefined)[];
}

/**
 * The bytes of physical memory and which of them the kernel can address. Bytes exist from the first access on;
 * pfns are below 2^31. NON-KERNEL (upstream: the linear map of arch/x86/mm/init_64.c).
 */
export class PhysMem {
  private readonly sections: (Section | undefined)[] = [];

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

  /** The section if anything ever asked for it. */
  section_if_present(pfn: number): Section | undefined {
    return this.sections[pfn >>> SECTION_SHIFT];
  }

  /** Maps or unmaps pfns [pfn, pfn+nr) in the linear map; both must be multiples of 512. */
  set_linear(pfn: number, nr: number, on: boolean): void {
    for (let p = pfn; p < pfn + nr; p += SLAB_PAGES) {
      const s = this.section(p);
      const i = (p - s.pfn) / SLAB_PAGES;
      s.linear[i] = on ? 1 : 0;
      if (!on) s.slabs[i] = undefined;
    }
  }

  /** True if the kernel has an address for the pfn. */
  is_linear(pfn: number): boolean {
    const s = this.sections[pfn >>> SECTION_SHIFT];
    return s !== undefined && s.linear[(pfn & (PAGES_PER_SECTION - 1)) >>> 9] === 1;
  }

  /** The bytes around a pfn, made on the first access; an access outside of the linear map is an oops. */
  slab(pfn: number): Slab {
    const s = this.sections[pfn >>> SECTION_SHIFT];
    const i = (pfn & (PAGES_PER_SECTION - 1)) >>> 9;
    if (s === undefined || s.linear[i] !== 1) {
      throw new Oops(`BUG: unable to handle page fault for address: ${linear_address(pfn)}`);
    }
    let slab = s.slabs[i];
    if (slab === undefined) {
      const bytes = new ArrayBuffer(SLAB_PAGES * PAGE_SIZE);
      slab = { u8: new Uint8Array(bytes), u32: new Uint32Array(bytes), used: new Uint8Array(SLAB_PAGES) };
      s.slabs[i] = slab;
    }
    return slab;
  }

  /** The 4096 bytes of one page as the kernel sees them (include/linux/highmem-internal.h: kmap_local_page()). */
  bytes(pfn: number): Uint8Array {
    const slab = this.slab(pfn);
    const at = pfn & (SLAB_PAGES - 1);
    slab.used[at] = 1;
    return slab.u8.subarray(at * PAGE_SIZE, (at + 1) * PAGE_SIZE);
  }

  /** Copies `nr` pages from a pfn on to `to` at a byte offset; an access outside of the linear map is an oops. */
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

  /** Zeroes a page (include/linux/highmem.h: clear_highpage()); bytes that nobody ever wrote are zero already. */
  clear(pfn: number): void {
    const slab = this.slab(pfn);
    const at = pfn & (SLAB_PAGES - 1);
    if (slab.used[at] === 0) slab.used[at] = 1;
    else slab.u8.fill(0, at * PAGE_SIZE, (at + 1) * PAGE_SIZE);
  }

  /** Copies whole pages, each range within memory that the kernel can address. */
  copy(dst: number, src: number, nr = 1): void {
    while (nr > 0) {
      const d = this.slab(dst);
      const s = this.slab(src);
      const di = dst & (SLAB_PAGES - 1);
      const si = src & (SLAB_PAGES - 1);
      const n = Math.min(nr, SLAB_PAGES - di, SLAB_PAGES - si);
      d.used.fill(1, di, di + n);
      s.used.fill(1, si, si + n);
      if (d === s) d.u8.copyWithin(di * PAGE_SIZE, si * PAGE_SIZE, (si + n) * PAGE_SIZE);
      else d.u8.set(s.u8.subarray(si * PAGE_SIZE, (si + n) * PAGE_SIZE), di * PAGE_SIZE);
      dst += n;
      src += n;
      nr -= n;
    }
  }

  /** Bytes of page contents that exist. */
  resident_bytes(): number {
    let n = 0;
    for (const s of this.sections) for (const slab of s?.slabs ?? []) if (slab !== undefined) n += slab.u8.length;
    return n;
  }
}

function linear_address(pfn: number): string {
  return (0xffff888000000000n + BigInt(pfn) * 4096n).toString(16);
}
