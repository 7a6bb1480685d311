// SPDX-License-Identifier: GPL-2.0-only

import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import { audit } from '../../audit.ts';
import { boot } from '../../boot.ts';
import type { Machine } from '../../machine.ts';
import { fget } from '../../fs/file.ts';
import { fput } from '../../fs/file_table.ts';
import { type address_space, type file, inode } from '../../fs/fs.ts';
import { do_sys_open, ksys_ftruncate } from '../../fs/open.ts';
import { ksys_pwrite64 } from '../../fs/read_write.ts';
import { start_process } from '../../kernel/exec.ts';
import type { Gen } from '../../kernel/gen.ts';
import { sched_yield } from '../../kernel/sched/syscalls.ts';
import { small_machine, start_task } from '../../kernel/testing.ts';
import { folio_put, lru_add_drain, lru_add_drain_all } from '../folio.ts';
import type { mm_struct } from '../mm_types.ts';
import { folio_clear_uptodate, folio_mark_uptodate, folio_test_locked } from '../page-flags.ts';
import { folio_alloc } from '../page_alloc.ts';
import { bare_machine } from '../testing.ts';
import {
  alloc_address_space,
  filemap_add_folio,
  filemap_get_entry,
  filemap_lock_folio,
  filemap_remove_folio,
  mapping_indices,
  mapping_load,
  mapping_next_index,
  mapping_range_empty,
} from './filemap.ts';
import { folio_lock, folio_unlock } from './folio_lock.ts';
import t from 'tap';

const PAGE = 4096;
const [MAP, BUF] = [0x200000000, 0x300000000];
const [RW, SHARED_FIXED, PRIVATE_ANON_FIXED] = [3, 0x11, 0x32];
const O_TMPFILE_RDWR = 0o20200002;
const EEXIST = -17;
const SHMEM_PAGES = 3;

function cache(m: Machine): address_space {
  return alloc_address_space(m, new inode(1), 'shmem');
}

t.test('a folio is found at each of its indices, and nothing may overlap it', async (t) => {
  const m = bare_machine();
  const mapping = cache(m);
  const [large, small, third] = [folio_alloc(m, 0, 2), folio_alloc(m, 0, 0), folio_alloc(m, 0, 3)];
  t.equal(filemap_add_folio(m, mapping, large, 4, 0), 0);
  t.equal(filemap_add_folio(m, mapping, small, 9, 0), 0);
  lru_add_drain(m);
  t.same(
    [3, 4, 7, 8, 9, 10].map((i) => mapping_load(m, mapping, i)),
    [0, large, large, 0, small, 0],
  );
  t.equal(mapping.nrpages, 5);
  t.same([m.page._refcount[large], m.page._refcount[small]], [5, 2], 'the cache holds one a page');
  t.ok(folio_test_locked(m, large));
  t.equal(filemap_add_folio(m, mapping, folio_alloc(m, 0, 0), 6, 0), EEXIST);
  t.equal(filemap_add_folio(m, mapping, third, 8, 0), EEXIST, 'one page of eight is taken');
  t.same([m.page._refcount[third], m.page.mapping[third], folio_test_locked(m, third)], [1, 0, false]);
  t.ok(mapping_range_empty(m, mapping, 0, 4));
  t.notOk(mapping_range_empty(m, mapping, 7, 1));
  t.throws(() => filemap_add_folio(m, mapping, third, 2, 0), /does not fit/);
});

t.test('searches go by index, not by order of arrival', async (t) => {
  const m = bare_machine();
  const mapping = cache(m);
  for (const i of [300, 7, 100]) filemap_add_folio(m, mapping, folio_alloc(m, 0, 0), i, 0);
  t.same(mapping_indices(mapping, 0, Infinity), [7, 100, 300]);
  t.same(mapping_indices(mapping, 8, 299), [100]);
  t.same(
    [0, 7, 8, 101, 301].map((i) => mapping_next_index(m, mapping, i, 1000)),
    [7, 7, 100, 300, -1],
  );
  t.equal(mapping_next_index(m, mapping, 8, 99), -1);
  t.equal(mapping_next_index(m, mapping, 90, 100), 100);
});

t.test('a folio that is taken out is freed with its last reference', async (t) => {
  const m = bare_machine();
  const mapping = cache(m);
  const free = m.zone.nr_free;
  const folio = folio_alloc(m, 0, 2);
  filemap_add_folio(m, mapping, folio, 0, 0);
  lru_add_drain(m);
  t.equal(filemap_get_entry(m, mapping, 3), folio);
  t.equal(m.page._refcount[folio], 6);
  filemap_remove_folio(m, folio);
  t.same([m.page._refcount[folio], m.page.mapping[folio], mapping.nrpages], [2, 0, 0]);
  t.equal(filemap_get_entry(m, mapping, 3), 0);
  folio_unlock(m, folio);
  t.throws(() => filemap_remove_folio(m, folio), /unlocked/);
  folio_put(m, folio);
  folio_put(m, folio);
  t.equal(m.zone.nr_free, free);
});

t.test('who waited for the lock of a folio that was truncated meanwhile does not get it', async (t) => {
  const m = small_machine();
  const mapping = cache(m);
  const folio = folio_alloc(m, 0, 0);
  filemap_add_folio(m, mapping, folio, 0, 0);
  let got = -1;
  start_task(m, function* () {
    got = yield* filemap_lock_folio(m, mapping, 0);
  });
  start_task(m, function* () {
    for (let i = 0; i < 3; i++) yield* sched_yield(m);
    filemap_remove_folio(m, folio);
    folio_unlock(m, folio);
    folio_put(m, folio);
  });
  m.sched.run(() => m.sched.tasks.length === 0);
  t.equal(got, 0);
});

t.test('a fault maps what is around it in the cache, but nothing locked, not uptodate or beyond the end', async (t) => {
  const m = boot({ mem: 64 * 1024 * 1024, thp: 'never' });
  const task = start_process(m, 'test', function* (): Gen<void> {
    const mm = m.current.mm as mm_struct;
    yield* sys_mmap(m, BUF, PAGE, RW, PRIVATE_ANON_FIXED, -1, 0);
    yield* user_store32(m, BUF, 5);
    const fd = yield* do_sys_open(m, '/tmp', O_TMPFILE_RDWR, 0o600);
    for (let i = 0; i < 12; i++) yield* ksys_pwrite64(m, fd, BUF, 4, i * PAGE);
    yield* ksys_ftruncate(m, fd, 11 * PAGE);
    const f = fget(m, fd) as file;
    const mapping = f.f_mapping as address_space;
    fput(m, f);
    const [busy, stale] = [mapping_load(m, mapping, 3), mapping_load(m, mapping, 5)];
    yield* folio_lock(m, busy);
    folio_clear_uptodate(m, stale);
    yield* sys_mmap(m, MAP, 16 * PAGE, RW, SHARED_FIXED, fd, 0);
    t.equal(yield* user_load32(m, MAP + 2 * PAGE), 5);
    t.equal(mm.rss_stat[SHMEM_PAGES], 9);
    yield* lru_add_drain_all(m);
    t.same(
      [busy, stale, mapping_load(m, mapping, 0)].map((p) => m.page._refcount[p]),
      [1, 1, 2],
    );
    folio_unlock(m, busy);
    folio_mark_uptodate(m, stale);
    t.equal(yield* user_load32(m, MAP + 3 * PAGE), 5);
    t.equal(mm.rss_stat[SHMEM_PAGES], 11);
  });
  m.sched.run(() => m.sched.tasks.length === 0);
  t.equal(task.group_exit_code ?? task.exit_code, 0, 'the process ran to its end');
  t.same(m.log.warnings, []);
  t.same(audit(m), []);
});
