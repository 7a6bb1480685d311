// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import type { Machine } from '../../machine.ts';
import { mm_alloc } from '../../kernel/fork/mm_init.ts';
import { at_once } from '../../kernel/testing.ts';
import { folio_lock, folio_unlock } from '../filemap/folio_lock.ts';
import { type anon_vma, type mm_struct, vm_area_struct } from '../mm_types.ts';
import { folio_alloc } from '../page_alloc.ts';
import { bare_machine } from '../testing.ts';
import {
  anon_vma_clone,
  anon_vma_fork,
  anon_vma_lock_read,
  anon_vma_lock_write,
  anon_vma_prepare,
  anon_vma_trylock_read,
  anon_vma_trylock_write,
  anon_vma_unlock_read,
  anon_vma_unlock_write,
  folio_get_anon_vma,
  put_anon_vma,
  unlink_anon_vmas,
  VMA_OP_FORK,
  VMA_OP_SPLIT,
} from './anon_vma.ts';
import { folio_add_new_anon_rmap, folio_remove_rmap_ptes } from './rmap.ts';

const PAGE = 4096;
const BASE = 0x200000000;
const [READ, RW, HUGEPAGE] = [0x71, 0x73, 1 << 29];
const EXCLUSIVE = 1;

function anon(mm: mm_struct, page: number, pages: number, flags = RW): vm_area_struct {
  const vma = new vm_area_struct(mm, BASE + page * PAGE, BASE + (page + pages) * PAGE);
  vma.vm_flags = flags;
  vma.vm_pgoff = vma.vm_anon_pgoff = vma.vm_start / PAGE;
  vma.detached = false;
  mm.mm_mt.push(vma);
  mm.mm_mt.sort((a, b) => a.vm_start - b.vm_start);
  return vma;
}

function fork(m: Machine, parent: vm_area_struct): vm_area_struct {
  const child = anon(
    mm_alloc(m) as mm_struct,
    (parent.vm_start - BASE) / PAGE,
    (parent.vm_end - parent.vm_start) / PAGE,
  );
  child.anon_vma = parent.anon_vma;
  at_once(anon_vma_fork(m, child, parent));
  return child;
}

t.test('neighbours that could merge after mprotect share one anon_vma, others do not', async (t) => {
  const m = bare_machine();
  const mm = mm_alloc(m) as mm_struct;
  const first = anon(mm, 0, 2);
  t.equal(at_once(anon_vma_prepare(m, first)), 0);
  const av = first.anon_vma as anon_vma;
  t.same([av.refcount, av.num_children, av.num_active_vmas, av.rb_root.length], [1, 1, 1, 1]);
  const read_only = anon(mm, 2, 2, READ);
  const advised = anon(mm, 4, 2, RW | HUGEPAGE);
  const apart = anon(mm, 7, 2);
  for (const vma of [read_only, advised, apart]) at_once(anon_vma_prepare(m, vma));
  t.equal(read_only.anon_vma, av, 'only the protection differs');
  t.equal(av.num_active_vmas, 2);
  t.not(advised.anon_vma, av);
  t.not(apart.anon_vma, av, 'a hole lies between');
  at_once(anon_vma_prepare(m, first));
  t.equal(av.num_active_vmas, 2, 'to prepare twice changes nothing');
  t.equal(m.mappings.live().length, 3);
});

t.test('a split half is found through all anon_vmas of the whole', async (t) => {
  const m = bare_machine();
  const parent = anon(mm_alloc(m) as mm_struct, 0, 4);
  at_once(anon_vma_prepare(m, parent));
  const child = fork(m, parent);
  const half = new vm_area_struct(child.vm_mm, child.vm_start, child.vm_end);
  half.anon_vma = child.anon_vma;
  t.equal(at_once(anon_vma_clone(m, half, child, VMA_OP_SPLIT)), 0);
  t.same(
    half.anon_vma_chain.map((c) => c.anon_vma.id),
    child.anon_vma_chain.map((c) => c.anon_vma.id).reverse(),
    'the list turns around',
  );
  t.equal(child.anon_vma_chain.length, 2);
  t.equal(child.anon_vma?.num_active_vmas, 2);
  t.equal(parent.anon_vma?.num_active_vmas, 1);
  t.equal(parent.anon_vma?.rb_root.length, 3);
  at_once(unlink_anon_vmas(m, half));
  t.equal(child.anon_vma?.num_active_vmas, 1);
  t.same(m.log.warnings, []);
});

t.test('fork reuses an anon_vma without vmas and with one child at most, so never the root', async (t) => {
  const m = bare_machine();
  const parent = anon(mm_alloc(m) as mm_struct, 0, 1);
  at_once(anon_vma_prepare(m, parent));
  const root = parent.anon_vma as anon_vma;
  const child = fork(m, parent);
  t.same([root.num_children, root.refcount], [2, 2]);
  at_once(unlink_anon_vmas(m, parent));
  const grandchild = fork(m, child);
  t.not(grandchild.anon_vma, root, 'the root counts itself and the child');
  t.equal(grandchild.anon_vma?.parent, child.anon_vma);
  t.equal(root.refcount, 3);
  const middle = child.anon_vma as anon_vma;
  at_once(unlink_anon_vmas(m, child));
  const next = new vm_area_struct(mm_alloc(m) as mm_struct, grandchild.vm_start, grandchild.vm_end);
  at_once(anon_vma_clone(m, next, grandchild, VMA_OP_FORK));
  t.equal(next.anon_vma, middle);
  t.equal(middle.num_active_vmas, 1);
  for (const vma of [next, grandchild]) at_once(unlink_anon_vmas(m, vma));
  t.same(m.mappings.live(), []);
  t.same(m.log.warnings, []);
});

t.test('all anon_vmas of a tree have one lock', async (t) => {
  const m = bare_machine();
  const parent = anon(mm_alloc(m) as mm_struct, 0, 1);
  at_once(anon_vma_prepare(m, parent));
  const up = parent.anon_vma as anon_vma;
  const down = fork(m, parent).anon_vma as anon_vma;
  at_once(anon_vma_lock_write(m, down));
  t.notOk(anon_vma_trylock_read(m, up));
  t.notOk(anon_vma_trylock_write(m, up));
  anon_vma_unlock_write(m, up);
  at_once(anon_vma_lock_read(m, up));
  t.ok(anon_vma_trylock_read(m, down));
  t.notOk(anon_vma_trylock_write(m, down));
  anon_vma_unlock_read(m, up);
  anon_vma_unlock_read(m, down);
  t.ok(anon_vma_trylock_write(m, up));
  anon_vma_unlock_write(m, up);
});

t.test('a reference keeps the anon_vma of a folio, if the folio is mapped', async (t) => {
  const m = bare_machine();
  const vma = anon(mm_alloc(m) as mm_struct, 0, 1);
  at_once(anon_vma_prepare(m, vma));
  const folio = folio_alloc(m, 0, 0);
  folio_add_new_anon_rmap(m, folio, vma, BASE, EXCLUSIVE);
  at_once(folio_lock(m, folio));
  const av = folio_get_anon_vma(m, folio) as anon_vma;
  t.equal(av, vma.anon_vma);
  t.equal(av.refcount, 2);
  folio_remove_rmap_ptes(m, folio, folio, 1, vma);
  t.equal(folio_get_anon_vma(m, folio), null);
  folio_unlock(m, folio);
  at_once(unlink_anon_vmas(m, vma));
  t.same(m.mappings.live(), [av]);
  at_once(put_anon_vma(m, av));
  t.same(m.mappings.live(), []);
  t.same(m.log.warnings, []);
  folio_get_anon_vma(m, folio);
  t.same(
    m.log.warnings.map((w) => w.fn),
    ['folio_get_anon_vma'],
    'it must be locked',
  );
});
