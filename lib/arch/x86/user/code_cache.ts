// SPDX-License-Identifier: GPL-2.0-only
// Translated code and its validity. NON-KERNEL throughout.

import type { CpuLevel, Mmu } from './cpu.ts';
import { JUMP_CACHE } from './layout.ts';
import type { UserMemory } from './memory.ts';
import { discover, FetchFault, type Block } from './region.ts';
import { dispatch_module, helper_module, jump_cache_entry } from './runtime.ts';
import { entries_of, translate_region } from './translate/region.ts';
import { PAGE_SIZE } from '../../../mm/contents.ts';

const WASM_PAGE = 65536;

/** Guest bytes that a region was made of, within one page. */
interface Piece {
  readonly addr: number;
  readonly bytes: Uint8Array;
}

/** Translated code: a pure function of the address, the bytes there, the CPU's level and whether it steps. */
interface Region {
  readonly pieces: readonly Piece[];
  /** index in the function table */
  readonly index: number;
  /** number of the block to start with, by address */
  readonly entries: ReadonlyMap<number, number>;
}

/** A region as an address space has it. */
interface Placed {
  readonly region: Region;
  readonly block: number;
  /** Mmu.generation() when the region was last seen to be what the pages hold */
  generation: number;
  /** byte offsets of the pieces' pages then, and what Mmu.guard() said of them */
  readonly pages: number[];
  readonly guards: number[];
}

/** Functions that translated code imports; they act for the CPU that runs. */
export interface Callbacks {
  slow(ctx: number, low: number, high: number, info: number): number;
  slow_store(ctx: number, low: number, high: number, info: number): number;
  flush(): void;
  help(ctx: number, what: number): number;
}

export interface CodeStats {
  regions: number;
  insns: number;
  wasm_bytes: number;
}

/**
 * Translated code of a process, for every machine and address space that runs the same bytes at the same address. What
 * an address space has of it is looked at again when one of its translations was dropped, see Mmu.
 */
export class CodeCache {
  readonly memory: UserMemory;
  readonly stats: CodeStats = { regions: 0, insns: 0, wasm_bytes: 0 };
  /** runs regions from a context's RIP on */
  readonly dispatch: (ctx: number, tlb: number) => number;
  private readonly table: WebAssembly.Table;
  private readonly imports: Record<string, Record<string, unknown>>;
  private readonly regions = new Map<string, Region[]>();
  private readonly spaces = new WeakMap<object, Map<number, Placed>>();
  private readonly pages: number;
  /** of which address space and generation the jump cache holds code */
  private cached_space: object | null = null;
  private cached_generation = -1;

  constructor(memory: UserMemory, callbacks: Callbacks) {
    this.memory = memory;
    this.pages = memory.u8.length / WASM_PAGE;
    this.table = new WebAssembly.Table({ element: 'anyfunc', initial: 0 });
    const module = (bytes: Uint8Array, imports: Record<string, unknown>): Record<string, unknown> =>
      new WebAssembly.Instance(new WebAssembly.Module(bytes), { m: imports }).exports;
    const helpers = module(helper_module(this.pages), { memory: memory.memory });
    this.imports = { m: { memory: memory.memory, ...helpers, ...callbacks } };
    const { dispatch } = module(dispatch_module(this.pages), {
      memory: memory.memory,
      table: this.table,
      any: () => 0,
    });
    this.dispatch = dispatch as (ctx: number, tlb: number) => number;
    this.forget();
  }

  /** Empties the jump cache. */
  forget(): void {
    // no code is at an odd address beyond 2^47
    this.memory.u8.fill(0xff, JUMP_CACHE.AT, JUMP_CACHE.AT + JUMP_CACHE.ENTRIES * JUMP_CACHE.ENTRY_BYTES);
  }

  /** Makes the jump cache valid for the Mmu's address space as it is now. */
  enter(mmu: Mmu): void {
    const space = mmu.space();
    const generation = mmu.generation();
    if (space === this.cached_space && generation === this.cached_generation) return;
    this.forget();
    this.cached_space = space;
    this.cached_generation = generation;
  }

  /**
   * Finds or makes code for an address and puts it in the jump cache; after enter(). Returns false if there is no
   * instruction to fetch: a page fault.
   */
  place(mmu: Mmu, pc: number, level: CpuLevel): boolean {
    const found = this.find(mmu, pc, level, false);
    if (found === null) return false;
    const at = jump_cache_entry(pc);
    const { view } = this.memory;
    view.setUint32(at, pc >>> 0, true);
    view.setUint32(at + 4, Math.floor(pc / 2 ** 32), true);
    view.setUint32(at + 8, found.region.index, true);
    view.setUint32(at + 12, found.block, true);
    return true;
  }

  /** Code for the one instruction at an address that makes each access by a call, or null for a page fault. */
  single(mmu: Mmu, pc: number, level: CpuLevel): ((ctx: number, tlb: number, block: number) => number) | null {
    const found = this.find(mmu, pc, level, true);
    return found === null
      ? null
      : (this.table.get(found.region.index) as (ctx: number, tlb: number, block: number) => number);
  }

  private find(mmu: Mmu, pc: number, level: CpuLevel, stepping: boolean): Placed | null {
    const space = mmu.space();
    let placed = this.spaces.get(space);
    if (placed === undefined) {
      placed = new Map();
      this.spaces.set(space, placed);
    }
    const key = stepping ? -1 - pc : pc;
    const old = placed.get(key);
    const generation = mmu.generation();
    if (old !== undefined && (old.generation === generation || this.still_valid(mmu, old, generation))) return old;
    const found = this.match(mmu, pc, level, stepping) ?? this.translate(mmu, pc, level, stepping);
    if (found === null) return null;
    const [region, pages] = found;
    const guards = pages.map((page) => mmu.guard(page));
    // every entry of the region, so that what returns into it finds it
    for (const [addr, block] of region.entries) {
      const at = stepping ? -1 - addr : addr;
      if (addr === pc || !placed.has(at))
        placed.set(at, { region, block, generation: mmu.generation(), pages, guards });
    }
    return placed.get(key) as Placed;
  }

  // Looks whether an address space still has the bytes that a region was made of.
  private still_valid(mmu: Mmu, p: Placed, generation: number): boolean {
    for (let k = 0; k < p.pages.length; k++) {
      const piece = p.region.pieces[k];
      const page = mmu.fetch(piece.addr);
      if (page < 0) return false;
      const guard = mmu.guard(page);
      if (page !== p.pages[k] || guard !== p.guards[k]) {
        if (!this.same_bytes(page, piece)) return false;
        p.pages[k] = page;
        p.guards[k] = guard;
      }
    }
    p.generation = generation;
    return true;
  }

  private same_bytes(page: number, piece: Piece): boolean {
    const { u8 } = this.memory;
    const at = page + (piece.addr % PAGE_SIZE);
    for (let k = 0; k < piece.bytes.length; k++) if (u8[at + k] !== piece.bytes[k]) return false;
    return true;
  }

  // A region of any address space that was made of the same bytes.
  private match(mmu: Mmu, pc: number, level: CpuLevel, stepping: boolean): [Region, number[]] | null {
    for (const region of this.regions.get(this.key(pc, level, stepping)) ?? []) {
      const pages = region.pieces.map((p) => mmu.fetch(p.addr));
      if (region.pieces.every((p, k) => pages[k] >= 0 && this.same_bytes(pages[k], p))) {
        return [region, pages];
      }
    }
    return null;
  }

  private key(pc: number, level: CpuLevel, stepping: boolean): string {
    return `${level}${stepping ? 's' : ''}${pc}`;
  }

  private translate(mmu: Mmu, pc: number, level: CpuLevel, stepping: boolean): [Region, number[]] | null {
    const { u8 } = this.memory;
    const pages = new Map<number, number>();
    const fetch = (addr: number): number => {
      const offset = addr % PAGE_SIZE;
      const vpn = (addr - offset) / PAGE_SIZE;
      let page = pages.get(vpn);
      if (page === undefined) {
        page = mmu.fetch(addr);
        if (page < 0) throw new FetchFault();
        pages.set(vpn, page);
      }
      return u8[page + offset];
    };
    let blocks: Block[];
    try {
      blocks = discover(pc, fetch, level, stepping ? 1 : undefined);
    } catch (error) {
      if (error instanceof FetchFault) return null;
      throw error;
    }
    const pieces = pieces_of(
      blocks,
      (addr) => u8[(pages.get(Math.floor(addr / PAGE_SIZE)) as number) + (addr % PAGE_SIZE)],
    );
    const wasm = translate_region(blocks, stepping, this.pages);
    const { run } = new WebAssembly.Instance(new WebAssembly.Module(wasm), this.imports).exports;
    const index = this.table.grow(1);
    this.table.set(index, run);
    const region: Region = { pieces, index, entries: entries_of(blocks) };
    const key = this.key(pc, level, stepping);
    const list = this.regions.get(key);
    if (list === undefined) this.regions.set(key, [region]);
    else list.push(region);
    this.stats.regions++;
    this.stats.wasm_bytes += wasm.length;
    for (const b of blocks) this.stats.insns += b.insns.length;
    const at = pieces.map((p) => pages.get(Math.floor(p.addr / PAGE_SIZE)) as number);
    return [region, at];
  }
}

/** The bytes of the blocks, page by page; bytes between blocks of one page are taken along. */
function pieces_of(blocks: readonly Block[], byte: (addr: number) => number): Piece[] {
  const ranges = new Map<number, [number, number]>();
  for (const b of blocks) {
    for (const i of b.insns) {
      for (let addr = i.pc; addr < i.pc + i.length; addr++) {
        const vpn = Math.floor(addr / PAGE_SIZE);
        const r = ranges.get(vpn);
        if (r === undefined) {
          ranges.set(vpn, [addr, addr + 1]);
        } else {
          r[0] = Math.min(r[0], addr);
          r[1] = Math.max(r[1], addr + 1);
        }
      }
    }
  }
  return [...ranges.values()].map(([from, to]) => ({
    addr: from,
    bytes: Uint8Array.from({ length: to - from }, (_, k) => byte(from + k)),
  }));
}
