// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import {
  down_read,
  down_read_trylock,
  down_write,
  down_write_trylock,
  rwsem_is_locked,
  up_read,
  up_write,
} from '../../kernel/locking/rwsem.ts';
import { spin_lock, spin_unlock } from '../../kernel/locking/spinlock.ts';
import { BUG_ON, WARN_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import { anon_rmap_tree_insert, anon_rmap_tree_remove } from '../interval_tree.ts';
import { anon_vma, anon_vma_chain, type vm_area_struct } from '../mm_types.ts';
import { folio_test_locked } from '../page-flags.ts';
import { FOLIO_MAPPING_ANON, FOLIO_MAPPING_FLAGS } from '../page.ts';
import { folio_anon_vma } from '../util.ts';
import { find_mergeable_anon_vma } from '../vma/merge.ts';
import { folio_mapped } from './rmap.ts';

// enum vma_operation (mm/internal.h): why a vma's anon_vmas are cloned
export const VMA_OP_SPLIT = 0;
export const VMA_OP_MERGE_UNFAULTED = 1;
export const VMA_OP_REMAP = 2;
export const VMA_OP_FORK = 3;

/** Locks the tree of the anon_vma for writing (mm/internal.h: anon_vma_lock_write()). */
export function* anon_vma_lock_write(m: Machine, av: anon_vma): Gen<void> {
  yield* down_write(m, av.root.rwsem);
}

/** Locks the tree for writing if it is free (mm/internal.h: anon_vma_trylock_write()). */
export function anon_vma_trylock_write(m: Machine, av: anon_vma): boolean {
  return down_write_trylock(m, av.root.rwsem);
}

/** Releases the tree's write lock (mm/internal.h: anon_vma_unlock_write()). */
export function anon_vma_unlock_write(m: Machine, av: anon_vma): void {
  up_write(m, av.root.rwsem);
}

/** Locks the tree of the anon_vma for reading (mm/internal.h: anon_vma_lock_read()). */
export function* anon_vma_lock_read(m: Machine, av: anon_vma): Gen<void> {
  yield* down_read(m, av.root.rwsem);
}

/** Locks the tree for reading if no writer holds it or waits (mm/internal.h: anon_vma_trylock_read()). */
export function anon_vma_trylock_read(m: Machine, av: anon_vma): boolean {
  return down_read_trylock(m, av.root.rwsem);
}

/** Releases the tree's read lock (mm/internal.h: anon_vma_unlock_read()). */
export function anon_vma_unlock_read(m: Machine, av: anon_vma): void {
  up_read(m, av.root.rwsem);
}

/** Takes a reference (mm/internal.h: get_anon_vma()). */
function get_anon_vma(av: anon_vma): void {
  av.refcount++;
}

/** Drops a reference and frees the anon_vma with the last one (mm/internal.h: put_anon_vma()). */
export function* put_anon_vma(m: Machine, av: anon_vma): Gen<void> {
  if (--av.refcount === 0) yield* __put_anon_vma(m, av);
}

/** Frees an anon_vma and drops its reference to the root (mm/rmap.c: __put_anon_vma()). */
function* __put_anon_vma(m: Machine, av: anon_vma): Gen<void> {
  const root = av.root;
  yield* anon_vma_free(m, av);
  if (root !== av && --root.refcount === 0) yield* anon_vma_free(m, root);
}

/** Allocates an anon_vma that is its own root (mm/rmap.c: anon_vma_alloc()). */
function anon_vma_alloc(m: Machine): anon_vma {
  return m.mappings.add((id) => new anon_vma(id)) as anon_vma;
}

/** Frees an anon_vma after the last rmap walk released its lock (mm/rmap.c: anon_vma_free()). */
function* anon_vma_free(m: Machine, av: anon_vma): Gen<void> {
  BUG_ON(av.refcount !== 0, 'mm/rmap.c: anon_vma_free() of one with references');
  if (rwsem_is_locked(av.root.rwsem)) {
    yield* anon_vma_lock_write(m, av);
    anon_vma_unlock_write(m, av);
  }
  m.mappings.remove(av.id);
}

/** Links an anon_vma to the vma's chain (mm/rmap.c: anon_vma_chain_assign()). */
function anon_vma_chain_assign(vma: vm_area_struct, av: anon_vma): anon_vma_chain {
  const avc = new anon_vma_chain(vma, av);
  vma.anon_vma_chain.unshift(avc);
  return avc;
}

/** Makes sure that the vma has an anon_vma. Returns 0 (mm/internal.h: anon_vma_prepare()). */
export function* anon_vma_prepare(m: Machine, vma: vm_area_struct): Gen<number> {
  if (vma.anon_vma !== null) return 0;
  return yield* __anon_vma_prepare(m, vma);
}

/**
 * Attaches a neighbour's anon_vma or a new one to the vma. Returns 0: allocation of objects does not fail here
 * (mm/rmap.c: __anon_vma_prepare()).
 */
export function* __anon_vma_prepare(m: Machine, vma: vm_area_struct): Gen<number> {
  let av = find_mergeable_anon_vma(m, vma);
  let allocated: anon_vma | null = null;
  if (av === null) {
    av = anon_vma_alloc(m);
    av.num_children++;
    allocated = av;
  }
  yield* anon_vma_lock_write(m, av);
  yield* spin_lock(m, vma.vm_mm.page_table_lock);
  // Another thread may have prepared the vma in the meantime. The cast is needed because TypeScript still knows it as
  // null.
  if (vma.anon_vma === null) {
    vma.anon_vma = av;
    anon_rmap_tree_insert(anon_vma_chain_assign(vma, av), av);
    av.num_active_vmas++;
    allocated = null;
  }
  spin_unlock(m, vma.vm_mm.page_table_lock);
  anon_vma_unlock_write(m, av);
  if (allocated !== null) yield* put_anon_vma(m, allocated);
  return 0;
}

/** Warns about vmas that cannot be cloned (mm/rmap.c: check_anon_vma_clone()). */
function check_anon_vma_clone(m: Machine, dst: vm_area_struct, src: vm_area_struct, operation: number): void {
  const fn = 'check_anon_vma_clone';
  const fork = operation === VMA_OP_FORK;
  WARN_ON_ONCE(m, !fork && dst.vm_mm !== src.vm_mm, fn, 'mm');
  WARN_ON_ONCE(m, src.anon_vma === null && src.anon_vma_chain.length > 0, fn, 'chain without anon_vma');
  WARN_ON_ONCE(m, src.anon_vma === null && dst.anon_vma !== null, fn, 'source without anon_vma');
  WARN_ON_ONCE(m, dst.anon_vma_chain.length > 0, fn, 'destination has chains');
  WARN_ON_ONCE(m, dst.anon_vma !== null && dst.anon_vma !== src.anon_vma, fn, 'another anon_vma');
  WARN_ON_ONCE(m, !fork && src.anon_vma !== null && dst.anon_vma === null, fn, 'destination without anon_vma');
  WARN_ON_ONCE(m, operation === VMA_OP_MERGE_UNFAULTED && src.anon_vma_chain.length !== 1, fn, 'merge of a forked vma');
}

/** Reuses an anon_vma without active vmas and with at most one child (mm/rmap.c: maybe_reuse_anon_vma()). */
function maybe_reuse_anon_vma(dst: vm_area_struct, av: anon_vma): void {
  if (dst.anon_vma !== null || av.num_active_vmas > 0 || av.num_children > 1) return;
  dst.anon_vma = av;
  av.num_active_vmas++;
}

/**
 * Links `dst`, whose chain is empty, to every anon_vma of `src`; only VMA_OP_FORK may reuse an anon_vma. Returns 0
 * (mm/rmap.c: anon_vma_clone()).
 */
export function* anon_vma_clone(m: Machine, dst: vm_area_struct, src: vm_area_struct, operation: number): Gen<number> {
  const active = src.anon_vma;
  check_anon_vma_clone(m, dst, src, operation);
  if (active === null) return 0;
  // Adding at the head reverses the list. The reverse walk below restores the source's order.
  for (const pavc of src.anon_vma_chain) anon_vma_chain_assign(dst, pavc.anon_vma);
  yield* anon_vma_lock_write(m, active);
  for (let i = dst.anon_vma_chain.length - 1; i >= 0; i--) {
    const avc = dst.anon_vma_chain[i];
    anon_rmap_tree_insert(avc, avc.anon_vma);
    if (operation === VMA_OP_FORK) maybe_reuse_anon_vma(dst, avc.anon_vma);
  }
  if (operation !== VMA_OP_FORK) (dst.anon_vma as anon_vma).num_active_vmas++;
  anon_vma_unlock_write(m, active);
  return 0;
}

/**
 * Links a child's vma to its parent's anon_vmas and to a new one of its own, unless one can be reused. Returns 0
 * (mm/rmap.c: anon_vma_fork()).
 */
export function* anon_vma_fork(m: Machine, vma: vm_area_struct, pvma: vm_area_struct): Gen<number> {
  if (pvma.anon_vma === null) return 0;
  vma.anon_vma = null;
  const av = anon_vma_alloc(m);
  const rc = yield* anon_vma_clone(m, vma, pvma, VMA_OP_FORK);
  if (rc !== 0 || (vma.anon_vma as anon_vma | null) !== null) {
    yield* put_anon_vma(m, av);
    return rc;
  }
  av.num_active_vmas = 1;
  av.root = pvma.anon_vma.root;
  av.parent = pvma.anon_vma;
  get_anon_vma(av.root);
  vma.anon_vma = av;
  const avc = anon_vma_chain_assign(vma, av);
  yield* anon_vma_lock_write(m, av);
  anon_rmap_tree_insert(avc, av);
  av.parent.num_children++;
  anon_vma_unlock_write(m, av);
  return 0;
}

/** Unlinks the vma from its anon_vmas and frees those without other users (mm/rmap.c: unlink_anon_vmas()). */
export function* unlink_anon_vmas(m: Machine, vma: vm_area_struct): Gen<void> {
  const active = vma.anon_vma;
  if (active === null) {
    WARN_ON_ONCE(m, vma.anon_vma_chain.length > 0, 'unlink_anon_vmas');
    return;
  }
  yield* anon_vma_lock_write(m, active);
  const empty: anon_vma_chain[] = [];
  for (const avc of vma.anon_vma_chain) {
    const av = avc.anon_vma;
    anon_rmap_tree_remove(avc, av);
    if (av.rb_root.length === 0) {
      av.parent.num_children--;
      empty.push(avc);
    }
  }
  vma.anon_vma_chain.length = 0;
  active.num_active_vmas--;
  vma.anon_vma = null;
  anon_vma_unlock_write(m, active);
  for (const avc of empty) {
    WARN_ON(m, avc.anon_vma.num_children !== 0, 'unlink_anon_vmas');
    WARN_ON(m, avc.anon_vma.num_active_vmas !== 0, 'unlink_anon_vmas');
    yield* put_anon_vma(m, avc.anon_vma);
  }
}

/** Returns the anon_vma of a locked, mapped folio with a reference, or null (mm/rmap.c: folio_get_anon_vma()). */
export function folio_get_anon_vma(m: Machine, folio: number): anon_vma | null {
  if (!folio_test_locked(m, folio)) WARN_ON(m, true, 'folio_get_anon_vma');
  const mapping = m.page.mapping[folio];
  if ((mapping & FOLIO_MAPPING_FLAGS) !== FOLIO_MAPPING_ANON || !folio_mapped(m, folio)) return null;
  const av = folio_anon_vma(m, folio);
  if (av === null || av.refcount === 0) return null;
  av.refcount++;
  return av;
}
