// SPDX-License-Identifier: GPL-2.0-only
// Memory of compiled programs. NON-KERNEL throughout.

import { type Block, type BlockPool, SLAB_BYTES } from '../../../mm/contents.ts';

const WASM_PAGE = 65536;
/** All that 32-bit WebAssembly can address, 4 GiB; the host gives pages when they are touched. */
const MAX_WASM_PAGES = 65536;

/**
 * The WebAssembly memory that translated code works on: page contents of the machines (lib/mm/physmem: slabs), contexts
 * and TLBs. One serves every machine of the process, since the host reserves address space for each; a machine gives
 * back what it took.
 */
export class UserMemory implements BlockPool {
  readonly memory: WebAssembly.Memory;
  readonly u8: Uint8Array;
  readonly view: DataView;
  private readonly free: Block[] = [];
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

  take(): Block {
    const again = this.free.pop();
    if (again !== undefined) return again;
    if (this.next + SLAB_BYTES > this.end)
      throw new RangeError(`user memory: all ${this.end / SLAB_BYTES} slabs of 2 MiB are in use`);
    const at = this.next;
    this.next += SLAB_BYTES;
    return {
      u8: new Uint8Array(this.memory.buffer, at, SLAB_BYTES),
      u32: new Uint32Array(this.memory.buffer, at, SLAB_BYTES / 4),
      at,
    };
  }

  give(block: Block): void {
    this.free.push(block);
  }

  /** Bytes in use. */
  used_bytes(): number {
    return this.next - SLAB_BYTES * (1 + this.free.length);
  }
}
