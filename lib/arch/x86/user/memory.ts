// SPDX-License-Identifier: GPL-2.0-only
// Memory of compiled programs. NON-KERNEL throughout.

/** Bytes of a slab: the unit in which user memory is handed out, a huge page. */
export const SLAB_BYTES = 2 * 1024 * 1024;
const WASM_PAGE = 65536;
/** All that 32-bit WebAssembly can address, 4 GiB; the host gives pages when they are touched. */
const MAX_WASM_PAGES = 65536;

/**
 * The WebAssembly memory that translated code works on: page contents of the machines (lib/mm/physmem: slabs), contexts
 * and TLBs. One serves every machine of the process, since the host reserves address space for each; a machine gives
 * back what it took.
 */
export class UserMemory {
  readonly memory: WebAssembly.Memory;
  readonly u8: Uint8Array;
  readonly view: DataView;
  private readonly free: number[] = [];
  /** the first slab is the CPU's own (layout.ts: JUMP_CACHE), so that small offsets are none of a page */
  private next = SLAB_BYTES;
  private readonly end: number;

  /** `bytes` is a multiple of 2 MiB, at most 4 GiB. */
  constructor(bytes = MAX_WASM_PAGES * WASM_PAGE) {
    const pages = bytes / WASM_PAGE;
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.u8 = new Uint8Array(this.memory.buffer);
    this.view = new DataView(this.memory.buffer);
    this.end = bytes;
  }

  /** The byte offset of a zeroed slab. */
  take_slab(): number {
    const again = this.free.pop();
    if (again !== undefined) return again;
    if (this.next + SLAB_BYTES > this.end)
      throw new RangeError(`user memory: all ${this.end / SLAB_BYTES} slabs of 2 MiB are in use`);
    const at = this.next;
    this.next += SLAB_BYTES;
    return at;
  }

  /** Takes back a slab; `used` says which of its pages hold anything but zeros, all of them if it is missing. */
  give_slab(at: number, used?: Uint8Array): void {
    if (used === undefined) {
      this.u8.fill(0, at, at + SLAB_BYTES);
    } else {
      const size = SLAB_BYTES / used.length;
      for (let i = 0; i < used.length; i++) if (used[i] !== 0) this.u8.fill(0, at + i * size, at + (i + 1) * size);
    }
    this.free.push(at);
  }

  /** Bytes in use. */
  used_bytes(): number {
    return this.next - SLAB_BYTES * (1 + this.free.length);
  }
}
