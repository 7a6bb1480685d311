// SPDX-License-Identifier: GPL-2.0-only

import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_memset, user_store32 } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import type { address_space } from '../fs/fs.ts';
import type { Gen } from '../kernel/gen.ts';
import { run_clean, small_machine } from '../kernel/testing.ts';
import { mapping_load } from './filemap/filemap.ts';
import { folio_lock, folio_unlock } from './filemap/folio_lock.ts';
import { folio_put, lru_add_drain } from './folio.ts';
import { find_vma } from './mmap/find_vma.ts';
import { folio_test_dirty } from './page-flags.ts';
import { folio_get, folio_order, folio_pfn } from './page.ts';
import { shmem_enabled_store } from './shmem.ts';
import { folio_zero_range, truncate_inode_folio, truncate_inode_partial_folio } from './truncate.ts';
import t from 'tap';

const [PAGE, HUGE, BASE] = [4096, 2 * 1024 * 1024, 0x200000000];
const EIO = 5;
const [RW, SHARED_ANON_FIXED] = [3, 0x31];
const SHMEM_PAGES = 3;

/** A process with 2 MiB of shared memory at BASE, full of 0x55, in one folio or in as many as it has pages. */
function run(huge: boolean, body: (m: Machine, mapping: address_space, rss: () => number) => Gen<void>): void {
  const m = run_clean(t, small_machine(), function* (m, mm) {
    if (huge) shmem_enabled_store(m, 'force');
    yield* sys_mmap(m, BASE, HUGE, RW, SHARED_ANON_FIXED, -1, 0);
    yield* user_memset(m, BASE, 0x55, huge ? HUGE : 8 * PAGE);
    lru_add_drain(m);
    yield* body(m, find_vma(mm, BASE)?.vm_file?.f_mapping as address_space, () => mm.rss_stat[SHMEM_PAGES]);
  });
  t.same(m.log.lines, []);
}

/** Truncates the folio that holds an index, locked and with a reference, as its callers do. */
function* partial(m: Machine, mapping: address_space, index: number, start: number, end: number): Gen<boolean> {
  const folio = mapping_load(m, mapping, index);
  folio_get(m, folio);
  yield* folio_lock(m, folio);
  const ret = yield* truncate_inode_partial_folio(m, folio, start, end);
  folio_unlock(m, folio);
  folio_put(m, folio);
  return ret;
}

t.test('a folio leaves its file and every mapping, unless it left before', (t) => {
  run(false, function* (m, mapping, rss) {
    const folio = mapping_load(m, mapping, 2);
    folio_get(m, folio);
    yield* folio_lock(m, folio);
    t.equal(rss(), 8);
    t.equal(yield* truncate_inode_folio(m, mapping, folio), 0);
    t.equal(rss(), 7);
    t.equal(mapping.nrpages, 7);
    t.equal(mapping_load(m, mapping, 2), 0);
    t.equal(m.page._refcount[folio], 1, 'the last reference is ours');
    t.notOk(folio_test_dirty(m, folio));
    t.equal(yield* truncate_inode_folio(m, mapping, folio), -EIO);
    folio_unlock(m, folio);
    folio_put(m, folio);
    t.equal(yield* user_load32(m, BASE + 2 * PAGE), 0, 'a new page');
  });
  t.end();
});

t.test('of a small folio a part is zeroed, and it stays', (t) => {
  run(false, function* (m, mapping) {
    t.equal(yield* partial(m, mapping, 1, PAGE + 100, PAGE + 103), true);
    t.same(
      [
        yield* user_load32(m, BASE + PAGE + 96),
        yield* user_load32(m, BASE + PAGE + 100),
        yield* user_load32(m, BASE + PAGE + 104),
      ],
      [0x55555555, 0, 0x55555555],
    );
    t.equal(yield* partial(m, mapping, 2, 2 * PAGE + 8, Infinity), true);
    t.same(
      [
        yield* user_load32(m, BASE + 2 * PAGE + 4),
        yield* user_load32(m, BASE + 3 * PAGE - 4),
        yield* user_load32(m, BASE + 3 * PAGE),
      ],
      [0x55555555, 0, 0x55555555],
    );
    t.equal(yield* partial(m, mapping, 3, 0, 3 * PAGE + 7), true);
    t.same([yield* user_load32(m, BASE + 3 * PAGE + 4), yield* user_load32(m, BASE + 3 * PAGE + 8)], [0, 0x55555555]);
    t.equal(mapping.nrpages, 8);
    t.equal(yield* partial(m, mapping, 4, 0, 5 * PAGE - 1), true);
    t.equal(mapping_load(m, mapping, 4), 0, 'all of it');
  });
  t.end();
});

t.test('a huge folio of which nothing stays goes without a split', (t) => {
  run(true, function* (m, mapping, rss) {
    t.equal(folio_order(m, mapping_load(m, mapping, 511)), 9);
    t.equal(rss(), 512);
    const free = m.zone.nr_free;
    t.equal(yield* partial(m, mapping, 0, 0, HUGE - 1), true);
    t.same([mapping.nrpages, mapping.i_pages.size, rss()], [0, 0, 0]);
    t.equal(m.zone.nr_free, free + 512);
    yield* user_store32(m, BASE + PAGE, 1);
    t.same([yield* user_load32(m, BASE), mapping.nrpages], [0, 512]);
  });
  t.end();
});

t.test('a range of a folio is zeroed to the byte, over page edges', (t) => {
  run(true, function* (m, mapping) {
    const folio = mapping_load(m, mapping, 0);
    folio_zero_range(m, folio, 2 * PAGE - 1, PAGE + 2);
    const bytes = [1, 2, 3].map((i) => m.ram.bytes(folio_pfn(m, folio) + i));
    t.same(
      bytes.map((b) => [b[0], b[1], b[PAGE - 2], b[PAGE - 1]]),
      [
        [0x55, 0x55, 0x55, 0],
        [0, 0, 0, 0],
        [0, 0x55, 0x55, 0x55],
      ],
    );
    folio_zero_range(m, folio, 0, 0);
    t.equal(yield* user_load32(m, BASE), 0x55555555);
  });
  t.end();
});
