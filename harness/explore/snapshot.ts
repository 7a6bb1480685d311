// SPDX-License-Identifier: GPL-2.0-only

import { UserMemory } from '../../lib/arch/x86/user/memory.ts';
import type { Machine } from '../../lib/machine.ts';
import { pfn_to_page } from '../../lib/mm/page.ts';
import { PAGES_PER_SECTION, Slab } from '../../lib/mm/physmem.ts';
import { type dmirror_chunk, test_hmm_state } from '../../lib/test_hmm/dmirror.ts';

type TypedArray = Float64Array | Int32Array | Uint32Array | Uint16Array | Uint8Array;
type Fields = Record<string, unknown>;

const SLAB_PAGES = 512;
/** Number of device pages handed out in a run above which searching for them is slower than copying all. */
const MANY = 4096;

/** A device's free list at the time of the snapshot. A run takes pages from its front. */
interface FreeList {
  chunks: dmirror_chunk[] | null;
  copy: readonly dmirror_chunk[];
  calloc: number;
  /** First free page and first free 2 MiB folio. */
  first: readonly [number, number];
}

function is_typed_array(x: object): x is TypedArray {
  return ArrayBuffer.isView(x) && !(x instanceof DataView);
}

/**
 * State of a machine without live tasks. restore() puts back everything reachable from the machine. Variables captured
 * by closures are not seen, so a run that matters is repeated on a new machine.
 */
export class Snapshot {
  private readonly m: Machine;
  private readonly objects: { o: Fields; keys: string[]; values: unknown[] }[] = [];
  private readonly arrays: { a: unknown[]; items: unknown[] }[] = [];
  private readonly maps: { map: Map<unknown, unknown>; entries: [unknown, unknown][] }[] = [];
  private readonly sets: { set: Set<unknown>; items: unknown[] }[] = [];
  private readonly typed: { a: TypedArray; copy: TypedArray }[] = [];
  private readonly slabs: (() => void)[] = [];
  /** The columns of struct page, by rows. */
  private readonly columns: { a: TypedArray; copy: TypedArray }[] = [];
  private readonly rows: number;
  private readonly free: FreeList[] = [];
  private readonly next_free_copy: Int32Array;
  private readonly seen = new Set<object>();
  private readonly todo: object[] = [];

  constructor(m: Machine) {
    this.m = m;
    this.rows = m.page.rows;
    const capacity = m.page._refcount.length;
    for (const a of Object.values(m.page) as unknown[]) {
      if (typeof a !== 'object' || a === null || !is_typed_array(a) || a.length !== capacity) continue;
      this.seen.add(a);
      this.columns.push({ a, copy: a.slice(0, this.rows) });
    }
    this.next_free_copy = this.columns.find((c) => c.a === m.page.zone_device_data)?.copy as Int32Array;
    for (const d of this.mod()?.dmirror_devices ?? []) {
      this.free.push({
        chunks: d.devmem_chunks,
        copy: [...(d.devmem_chunks ?? [])],
        calloc: d.calloc,
        first: [d.free_pages, d.free_folios],
      });
    }
    this.visit(m);
    for (let o = this.todo.pop(); o !== undefined; o = this.todo.pop()) this.record(o);
    this.seen.clear();
  }

  private mod(): test_hmm_state | null {
    const state = this.m.modules.data.get('test_hmm');
    return state instanceof test_hmm_state ? state : null;
  }

  private visit(x: unknown): void {
    if (typeof x !== 'object' || x === null || this.seen.has(x)) return;
    this.seen.add(x);
    this.todo.push(x);
  }

  private record(o: object): void {
    // the memory of compiled programs is that of all machines: of its contents this one has the slabs
    if (o instanceof UserMemory) return;
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
    } else if (o instanceof Slab) {
      this.slabs.push(o.keep());
    } else if (Symbol.iterator in o && 'next' in o) {
      throw new Error('a machine with a live task cannot be put back to where it was');
    } else if (!(o instanceof WeakMap)) {
      const keys = Object.keys(o);
      const values = keys.map((k) => (o as Fields)[k]);
      this.objects.push({ o: o as Fields, keys, values });
      for (const v of values) this.visit(v);
    }
  }

  /** Restores everything. Objects created since become unreachable. */
  restore(): void {
    this.restore_columns();
    for (const { o, keys, values } of this.objects) {
      for (let i = 0; i < keys.length; i++) {
        const k = keys[i];
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
    for (const { a, copy } of this.typed) a.set(copy);
    for (const put_back of this.slabs) put_back();
  }

  /** Returns the rows that differ from the snapshot, for tests: restore() must leave none. */
  changed_rows(): number[] {
    const found = new Set<number>();
    for (const { a, copy } of this.columns) for (let i = 0; i < copy.length; i++) if (a[i] !== copy[i]) found.add(i);
    return [...found];
  }

  // Returns the rows that a run can have changed: RAM that was handed out and device pages that were. Null: any.
  private dirty_rows(): { from: number; to: number }[] | null {
    if (this.m.page.rows !== this.rows) return null;
    const dirty: { from: number; to: number }[] = [];
    const devices = this.mod()?.dmirror_devices ?? [];
    if (devices.length !== this.free.length) return null;
    for (let i = 0; i < devices.length; i++) {
      const d = devices[i];
      const f = this.free[i];
      const now = d.devmem_chunks;
      if (now !== f.chunks || now?.length !== f.copy.length || now.some((c, k) => c !== f.copy[k] || c.remove))
        return null;
      const taken = d.calloc - f.calloc;
      if (taken > MANY) return null;
      for (const [i, nr] of [1, SLAB_PAGES].entries()) {
        let row = f.first[i];
        for (let k = 0; k < taken && row !== 0; k += nr) {
          dirty.push({ from: row, to: row + nr });
          row = this.next_free_copy[row];
        }
      }
    }
    for (const s of this.m.zone.spans) {
      for (let pfn = s.start; pfn < s.untouched; ) {
        const n = Math.min(s.untouched - pfn, PAGES_PER_SECTION - (pfn % PAGES_PER_SECTION));
        const from = pfn_to_page(this.m, pfn);
        dirty.push({ from, to: from + n });
        pfn += n;
      }
    }
    return dirty;
  }

  private restore_columns(): void {
    const dirty = this.dirty_rows();
    if (dirty === null) {
      for (const { a, copy } of this.columns) {
        a.set(copy);
        a.fill(0, this.rows);
      }
      return;
    }
    for (const { a, copy } of this.columns) {
      for (const { from, to } of dirty) {
        if (to - from === 1) a[from] = copy[from];
        else a.set(copy.subarray(from, to), from);
      }
    }
  }
}
