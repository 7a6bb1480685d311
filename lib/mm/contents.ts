// SPDX-License-Identifier: GPL-2.0-only
// What pages contain. NON-KERNEL throughout.

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
/** Pages of a slab: 2 MiB, so that a huge page is contiguous. */
export const SLAB_PAGES = 512;
export const SLAB_BYTES = SLAB_PAGES * PAGE_SIZE;

const PAGE_WORDS = PAGE_SIZE / 4;

/** Memory for the bytes of a slab; whoever takes one finds in it what the last user left. */
export interface Block {
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  /** byte offset in the memory of compiled programs (arch/x86/user/memory.ts), 0 for a block that is elsewhere */
  readonly at: number;
}

/** Where blocks come from. */
export interface BlockPool {
  take(): Block;
  give(block: Block): void;
}

/** Blocks that machines and buffers of this process gave back come before new ones, which the host has yet to map. */
class ArrayPool implements BlockPool {
  private readonly free: Block[] = [];
  /** blocks taken and not given back */
  taken = 0;

  take(): Block {
    this.taken++;
    const again = this.free.pop();
    if (again !== undefined) return again;
    const buffer = new ArrayBuffer(SLAB_BYTES);
    return { u8: new Uint8Array(buffer), u32: new Uint32Array(buffer), at: 0 };
  }

  give(block: Block): void {
    this.taken--;
    this.free.push(block);
  }
}

/** The pool of the process. */
export const page_pool = new ArrayPool();

/** In Slab.used: the page has bytes. */
export const USED = 1;
/** In Slab.used: it has bytes, and nobody wrote to them since code of them was translated (arch/x86/user). */
export const USED_CODE = 2;

const NO_BLOCK: Block = { u8: new Uint8Array(0), u32: new Uint32Array(0), at: 0 };

/**
 * Contents of 2 MiB of memory. A page has bytes from the first access on that needs some; before, it is one word
 * repeated, at first zero. So memory that was only cleared, filled or copied from such costs neither bytes nor time.
 */
export class Slab {
  u8: Uint8Array = NO_BLOCK.u8;
  u32: Uint32Array = NO_BLOCK.u32;
  at = 0;
  /** 0 for a page without bytes, else USED or USED_CODE */
  readonly used = new Uint8Array(SLAB_PAGES);
  /** the repeated word of each page without bytes; null while all are zero */
  private words: Uint32Array | null = null;
  private block: Block | null = null;
  private readonly pool: BlockPool;

  constructor(pool: BlockPool) {
    this.pool = pool;
  }

  /** Takes memory for the bytes. */
  need_block(): void {
    if (this.block !== null) return;
    this.block = this.pool.take();
    this.u8 = this.block.u8;
    this.u32 = this.block.u32;
    this.at = this.block.at;
  }

  /** Gives the bytes back. All pages are zero afterwards. */
  release(): void {
    if (this.block !== null) this.pool.give(this.block);
    this.block = null;
    this.u8 = NO_BLOCK.u8;
    this.u32 = NO_BLOCK.u32;
    this.at = 0;
    this.used.fill(0);
    this.words = null;
  }

  /** Returns the word that a page without bytes repeats. */
  word(page: number): number {
    return this.words === null ? 0 : this.words[page];
  }

  /** Makes sure that a page has bytes. */
  need_bytes(page: number): void {
    if (this.used[page] !== 0) return;
    if (this.block === null) this.need_block();
    this.used[page] = USED;
    this.fill_bytes(page, this.word(page));
  }

  /** Gives a page bytes that the caller writes all of. */
  overwrite(page: number): void {
    if (this.block === null) this.need_block();
    this.used[page] = USED;
  }

  /** Fills a page with one word. */
  fill(page: number, word: number): void {
    if (this.used[page] !== 0) this.fill_bytes(page, word);
    else if (this.words !== null) this.words[page] = word;
    else if (word !== 0) (this.words = new Uint32Array(SLAB_PAGES))[page] = word;
  }

  private fill_bytes(page: number, word: number): void {
    // of two ways to fill, the one by bytes is the host's memset()
    if (word === (word & 255) * 0x01010101) this.u8.fill(word, page * PAGE_SIZE, (page + 1) * PAGE_SIZE);
    else this.u32.fill(word, page * PAGE_WORDS, (page + 1) * PAGE_WORDS);
  }

  /** Returns true if a page contains only zeroes. */
  is_zero(page: number): boolean {
    if (this.used[page] === 0) return this.word(page) === 0;
    const end = (page + 1) * PAGE_WORDS;
    for (let i = page * PAGE_WORDS; i < end; i++) if (this.u32[i] !== 0) return false;
    return true;
  }

  /** Copies `nr` pages from page `from` of another slab, or of this one, to page `to` on. */
  copy(to: number, src: Slab, from: number, nr: number): void {
    for (let k = 0; k < nr; ) {
      if (src.used[from + k] === 0) {
        this.fill(to + k, src.word(from + k));
        k++;
        continue;
      }
      const first = k;
      for (; k < nr && src.used[from + k] !== 0; k++) this.overwrite(to + k);
      const [start, end] = [(from + first) * PAGE_SIZE, (from + k) * PAGE_SIZE];
      if (src === this) this.u8.copyWithin((to + first) * PAGE_SIZE, start, end);
      else this.u8.set(src.u8.subarray(start, end), (to + first) * PAGE_SIZE);
    }
  }

  /** Writes bytes at a byte offset; they must not cross into another page. */
  write(at: number, bytes: Uint8Array): void {
    const page = at >>> PAGE_SHIFT;
    if (bytes.length === PAGE_SIZE) this.overwrite(page);
    else this.need_bytes(page);
    this.u8.set(bytes, at);
  }

  /** Returns a function that restores what the pages contain now; it must not be called after release(). */
  keep(): () => void {
    const used = this.used.slice();
    const words = this.words?.slice() ?? null;
    const pages: { page: number; bytes: Uint8Array }[] = [];
    used.forEach((u, page) => {
      if (u !== 0) pages.push({ page, bytes: this.u8.slice(page * PAGE_SIZE, (page + 1) * PAGE_SIZE) });
    });
    return () => {
      this.used.set(used);
      this.words = words?.slice() ?? null;
      for (const { page, bytes } of pages) this.u8.set(bytes, page * PAGE_SIZE);
    };
  }
}

/**
 * A buffer of pages in the kernel, of which the initial contents are undefined; what is never written takes no memory.
 */
export class PageBuffer {
  private readonly slabs: Slab[] = [];

  /** Returns the slab of a byte offset. */
  private slab(at: number): Slab {
    const i = Math.floor(at / SLAB_BYTES);
    while (this.slabs.length <= i) this.slabs.push(new Slab(page_pool));
    return this.slabs[i];
  }

  /** Gives the memory back. */
  free(): void {
    for (const slab of this.slabs) slab.release();
    this.slabs.length = 0;
  }

  /** Copies `nr` pages from page `from` of a slab, none of which are beyond its end, to the byte offset `at`. */
  take_pages(at: number, src: Slab, from: number, nr: number): void {
    while (nr > 0) {
      const to = (at % SLAB_BYTES) / PAGE_SIZE;
      const n = Math.min(nr, SLAB_PAGES - to);
      this.slab(at).copy(to, src, from, n);
      at += n * PAGE_SIZE;
      from += n;
      nr -= n;
    }
  }

  /** Copies the page at byte offset `at` to a page of a slab. */
  give_page(at: number, dst: Slab, to: number): void {
    dst.copy(to, this.slab(at), (at % SLAB_BYTES) / PAGE_SIZE, 1);
  }

  /** Copies at most a page from a slab's byte offset `from` to the byte offset `at`; neither has to be aligned. */
  write(at: number, src: Slab, from: number, len: number): void {
    src.need_bytes(from >>> PAGE_SHIFT);
    for (const end = at + len; at < end; ) {
      const to = at % SLAB_BYTES;
      const n = Math.min(end - at, PAGE_SIZE - (to % PAGE_SIZE));
      const slab = this.slab(at);
      slab.overwrite(to >>> PAGE_SHIFT);
      slab.u8.set(src.u8.subarray(from, from + n), to);
      at += n;
      from += n;
    }
  }

  /** Copies at most a page from the byte offset `at` to a slab's byte offset `to`; neither has to be aligned. */
  read(at: number, dst: Slab, to: number, len: number): void {
    const word = this.repeated(at, len);
    const page = to >>> PAGE_SHIFT;
    if (word >= 0 && len === PAGE_SIZE) {
      dst.fill(page, word);
      return;
    }
    if (len === PAGE_SIZE) dst.overwrite(page);
    else dst.need_bytes(page);
    for (const end = at + len; at < end; ) {
      const from = at % SLAB_BYTES;
      const src = this.slab(at);
      src.need_bytes(from >>> PAGE_SHIFT);
      let n = Math.min(end - at, PAGE_SIZE - (from % PAGE_SIZE));
      // what comes next has bytes too as a rule, and then one copy does
      if (n < end - at && from + n < SLAB_BYTES) {
        src.need_bytes((from + n) >>> PAGE_SHIFT);
        n = end - at;
      }
      dst.u8.set(src.u8.subarray(from, from + n), to);
      at += n;
      to += n;
    }
  }

  /** Returns the word that at most a page from an offset on repeats without having bytes, -1 if there is none. */
  private repeated(at: number, len: number): number {
    if (at % 4 !== 0) return -1;
    const [first, last] = [this.slab(at), this.slab(at + len - 1)];
    const [i, k] = [(at % SLAB_BYTES) >>> PAGE_SHIFT, ((at + len - 1) % SLAB_BYTES) >>> PAGE_SHIFT];
    if (first.used[i] !== 0 || last.used[k] !== 0 || first.word(i) !== last.word(k)) return -1;
    return first.word(i);
  }
}
