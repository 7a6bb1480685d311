// SPDX-License-Identifier: GPL-2.0-only

type TypedArray = Float64Array | Int32Array | Uint32Array | Uint16Array | Uint8Array;

function is_typed_array(x: object): x is TypedArray {
  return ArrayBuffer.isView(x) && !(x instanceof DataView);
}

type Fields = Record<string, unknown>;

/** Pages in a slab of memory contents, and their size in bytes. */
const SLAB_PAGES = 512;
const PAGE_SIZE = 4096;

/** The bytes of 2 MiB of memory: `used` says which of its pages were ever written (lib/mm/physmem.ts). */
interface SlabLike {
  u8: Uint8Array;
  used: Uint8Array;
}

function is_slab(x: object): x is SlabLike {
  const s = x as Partial<SlabLike>;
  return s.u8 instanceof Uint8Array && s.used instanceof Uint8Array && s.u8.length === SLAB_PAGES * PAGE_SIZE;
}

/**
 * Everything that can be reached from an object, as it was when the snapshot was taken; restore() puts it back in place.
 * A generator cannot be copied, so no task may be alive. What a closure keeps in variables of its own is not seen: a run
 * whose result matters is repeated on a fresh machine.
 */
export class Snapshot {
  private readonly objects: { o: Fields; keys: string[]; values: unknown[] }[] = [];
  private readonly arrays: { a: unknown[]; items: unknown[] }[] = [];
  private readonly maps: { map: Map<unknown, unknown>; entries: [unknown, unknown][] }[] = [];
  private readonly sets: { set: Set<unknown>; items: unknown[] }[] = [];
  private readonly typed: { a: TypedArray; copy: TypedArray }[] = [];
  private readonly slabs: { slab: SlabLike; used: Uint8Array; pages: { at: number; bytes: Uint8Array }[] }[] = [];
  private readonly seen = new Set<object>();
  private readonly todo: object[] = [];

  constructor(root: object) {
    this.visit(root);
    for (let o = this.todo.pop(); o !== undefined; o = this.todo.pop()) this.record(o);
    this.seen.clear();
  }

  private visit(x: unknown): void {
    if (typeof x !== 'object' || x === null || this.seen.has(x)) return;
    this.seen.add(x);
    this.todo.push(x);
  }

  private record(o: object): void {
    if (is_typed_array(o)) {
      this.typed.push({ a: o, copy: o.slice() });
    } else if (Array.isArray(o)) {
      this.arrays.push({ a: o, items: o.slice() });
      for (const x of o) this.visit(x);
    } else if (o instanceof Map) {
      const entries = [...(o as Map<unknown, unknown>)];
      this.maps.push({ map: o, entries });
      for (const [k, v] of entries) {
        this.visit(k);
        this.visit(v);
      }
    } else if (o instanceof Set) {
      const items = [...(o as Set<unknown>)];
      this.sets.push({ set: o, items });
      for (const x of items) this.visit(x);
    } else if (is_slab(o)) {
      const pages: { at: number; bytes: Uint8Array }[] = [];
      for (let i = 0; i < SLAB_PAGES; i++) if (o.used[i] !== 0) pages.push({ at: i * PAGE_SIZE, bytes: o.u8.slice(i * PAGE_SIZE, (i + 1) * PAGE_SIZE) });
      this.slabs.push({ slab: o, used: o.used.slice(), pages });
    } else if (Symbol.iterator in o && 'next' in o) {
      throw new Error('a machine with a live task cannot be put back to where it was');
    } else if (!(o instanceof WeakMap)) {
      const keys = Object.keys(o);
      const values = keys.map((k) => (o as Fields)[k]);
      this.objects.push({ o: o as Fields, keys, values });
      for (const v of values) this.visit(v);
    }
  }

  /** Puts everything back. Objects made since are simply no longer reached. */
  restore(): void {
    for (const { o, keys, values } of this.objects) {
      for (let i = 0; i < keys.length; i++) {
        const k = keys[i] as string;
        if (o[k] !== values[i]) o[k] = values[i];
      }
      const now = Object.keys(o);
      if (now.length !== keys.length) for (const k of now) if (!keys.includes(k)) Reflect.deleteProperty(o, k);
    }
    for (const { a, items } of this.arrays) {
      a.length = items.length;
      for (let i = 0; i < items.length; i++) a[i] = items[i];
    }
    for (const { map, entries } of this.maps) {
      if (map.size === 0 && entries.length === 0) continue;
      map.clear();
      for (const [k, v] of entries) map.set(k, v);
    }
    for (const { set, items } of this.sets) {
      if (set.size === 0 && items.length === 0) continue;
      set.clear();
      for (const x of items) set.add(x);
    }
    for (const { a, copy } of this.typed) a.set(copy as never);
    for (const s of this.slabs) restore_slab(s.slab, s.used, s.pages);
  }
}

function restore_slab(slab: SlabLike, used: Uint8Array, pages: readonly { at: number; bytes: Uint8Array }[]): void {
  for (let i = 0; i < SLAB_PAGES; i++) if (slab.used[i] !== 0) slab.u8.fill(0, i * PAGE_SIZE, (i + 1) * PAGE_SIZE);
  slab.used.set(used);
  for (const p of pages) slab.u8.set(p.bytes, p.at);
}
