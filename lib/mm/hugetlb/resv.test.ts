// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { ptdesc } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { Machine } from '../../machine.ts';
import { at_once } from '../../kernel/testing.ts';
import { mm_struct, vm_area_struct } from '../mm_types.ts';
import {
  __vma_private_lock,
  hugetlb_dup_vma_private,
  type hugetlb_vma_lock,
  hugetlb_vma_lock_alloc,
  hugetlb_vma_lock_free,
  hugetlb_vma_lock_read,
  hugetlb_vma_lock_write,
  hugetlb_vma_trylock_write,
  hugetlb_vma_unlock_read,
  hugetlb_vma_unlock_write,
  is_vma_resv_set,
  region_abort,
  region_add,
  region_chg,
  region_count,
  region_del,
  resv_map,
  resv_map_put,
  set_vma_resv_flags,
  set_vma_resv_map,
  vma_add_reservation,
  vma_commit_reservation,
  vma_del_reservation,
  vma_end_reservation,
  vma_hugecache_offset,
  vma_needs_reservation,
} from './resv.ts';

const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const [SHARED, MAYSHARE, HUGETLB] = [8, 0x80, 0x400000];
const [OWNER, UNMAPPED] = [1, 2];

const m = new Machine({ mem: 64 * 1024 * 1024 });
const h = m.hugetlb.default_hstate;

function mapping(flags = 0): vm_area_struct {
  const vma = new vm_area_struct(new mm_struct(m, 1, new ptdesc(4, 0)), MAP, MAP + 4 * HUGE);
  vma.vm_flags = 3 | HUGETLB | flags;
  return vma;
}

function owner(): { vma: vm_area_struct; map: resv_map } {
  const vma = mapping();
  const map = new resv_map();
  set_vma_resv_map(m, vma, map);
  set_vma_resv_flags(m, vma, OWNER);
  return { vma, map };
}

t.test('regions that touch become one; a deletion cuts them; counts are of pages', async (t) => {
  const map = new resv_map();
  for (const [f, to] of [
    [0, 2],
    [6, 8],
    [2, 3],
  ] as const) {
    t.equal(region_chg(map, f, to), to - f);
    t.equal(region_add(map, f, to), to - f);
  }
  t.same(map.regions, [
    { from: 0, to: 3 },
    { from: 6, to: 8 },
  ]);
  t.equal(region_chg(map, 1, 9), 4, 'asking changes nothing');
  region_abort(map, 1, 9);
  t.equal(region_count(map, 1, 7), 3);
  t.equal(region_chg(map, 1, 9), 4);
  t.equal(region_add(map, 1, 9), 4);
  t.same(map.regions, [{ from: 0, to: 9 }]);
  t.equal(region_del(map, 2, 4), 2);
  t.equal(region_del(map, 8, Infinity), 1);
  t.equal(region_del(map, 20, 30), 0);
  t.same(map.regions, [
    { from: 0, to: 2 },
    { from: 4, to: 8 },
  ]);
  t.equal(map.adds_in_progress, 0);
  region_chg(map, 0, 1);
  t.throws(() => resv_map_put(map), /adds in progress/);
});

t.test('a private mapping notes which reservations are used up', async (t) => {
  const { vma, map } = owner();
  const at = MAP + 2 * HUGE;
  const idx = vma_hugecache_offset(h, vma, at + 4096);
  t.equal(idx, 2);
  t.equal(vma_needs_reservation(h, vma, at), 0, 'it is there');
  vma_end_reservation(h, vma, at);
  t.equal(vma_needs_reservation(h, vma, at), 0);
  t.equal(vma_commit_reservation(h, vma, at), 0);
  t.same(map.regions, [{ from: 2, to: 3 }]);
  t.equal(vma_needs_reservation(h, vma, at), 1, 'a second page there has none');
  t.equal(vma_add_reservation(h, vma, at), 0);
  t.same(map.regions, []);
  t.equal(vma_needs_reservation(h, vma, at), 0);
  t.equal(vma_del_reservation(h, vma, at), 1);
  t.same(map.regions, [{ from: 2, to: 3 }]);
  t.equal(map.adds_in_progress, 0);
  t.equal(vma_needs_reservation(h, mapping(), at), 1, 'a child has no map and so no reservation');
});

t.test('flags add up; a map alone is no lock without ownership; fork takes all', async (t) => {
  const { vma, map } = owner();
  set_vma_resv_flags(m, vma, UNMAPPED);
  t.ok(is_vma_resv_set(vma, OWNER) && is_vma_resv_set(vma, UNMAPPED));
  t.ok(__vma_private_lock(vma));
  at_once(hugetlb_vma_lock_write(m, vma));
  t.ok(map.rw_sema.writer !== null);
  t.notOk(hugetlb_vma_trylock_write(m, vma));
  hugetlb_vma_unlock_write(m, vma);
  hugetlb_dup_vma_private(m, vma);
  t.notOk(is_vma_resv_set(vma, OWNER) || __vma_private_lock(vma));
  t.ok(hugetlb_vma_trylock_write(m, vma) && hugetlb_vma_trylock_write(m, vma), 'nothing to lock');
  set_vma_resv_map(m, vma, map);
  t.notOk(__vma_private_lock(vma));
  t.same(m.log.warnings, []);
  set_vma_resv_flags(m, mapping(MAYSHARE), OWNER);
  t.same(
    m.log.warnings.splice(0).map((w) => w.fn),
    ['set_vma_resv_flags'],
  );
});

t.test('a shared mapping has a lock of its own, which no copy of the vma keeps', async (t) => {
  const vma = mapping(MAYSHARE | SHARED);
  hugetlb_vma_lock_alloc(vma);
  const lock = vma.vm_private_data as hugetlb_vma_lock;
  t.equal(lock.vma, vma);
  at_once(hugetlb_vma_lock_read(m, vma));
  t.notOk(hugetlb_vma_trylock_write(m, vma));
  hugetlb_vma_unlock_read(m, vma);
  const copy = mapping(MAYSHARE | SHARED);
  copy.vm_private_data = lock;
  hugetlb_dup_vma_private(m, copy);
  t.equal(copy.vm_private_data, null);
  hugetlb_dup_vma_private(m, vma);
  t.equal(vma.vm_private_data, lock);
  at_once(hugetlb_vma_lock_free(m, vma));
  t.same([vma.vm_private_data, lock.vma, lock.refs], [null, null, 0]);
  const own = mapping();
  hugetlb_vma_lock_alloc(own);
  t.equal(own.vm_private_data, null, 'a private one gets none');
});
