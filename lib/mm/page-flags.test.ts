// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import {
  ClearPageAnonExclusive,
  flag_names,
  folio_clear_dirty,
  folio_set_dirty,
  folio_set_lru,
  folio_test_clear_lru,
  folio_test_dirty,
  folio_test_set_dirty,
  page_flags,
  PAGE_FLAGS_CHECK_AT_FREE,
  PAGE_FLAGS_CHECK_AT_PREP,
  PAGE_FLAGS_FIRST_BYTE,
  PAGE_FLAGS_MIGRATED,
  PAGE_FLAGS_SECOND,
  PAGE_FLAGS_SPLIT,
  PageAnonExclusive,
  SetPageAnonExclusive,
} from './page-flags.ts';
import { bare_machine } from './testing.ts';

t.test('each flag has a bit of its own, and all fit into a positive 32-bit number', (t) => {
  const all = page_flags.reduce((sum, flag) => sum + flag.mask, 0);
  t.equal(all, 2 ** page_flags.length - 1);
  t.ok(page_flags.length <= 31);
  t.equal(new Set(page_flags.map((flag) => flag.name)).size, page_flags.length);
  t.end();
});

t.test('accessors change one bit of one page', (t) => {
  const m = bare_machine();
  folio_set_dirty(m, 5);
  folio_set_lru(m, 5);
  t.same([folio_test_dirty(m, 5), folio_test_dirty(m, 4), folio_test_dirty(m, 6)], [true, false, false]);
  t.equal(folio_test_clear_lru(m, 5), true);
  t.equal(folio_test_clear_lru(m, 5), false);
  t.equal(folio_test_set_dirty(m, 5), true);
  folio_clear_dirty(m, 5);
  t.equal(m.page.flags[5], 0);
  SetPageAnonExclusive(m, 5);
  t.ok(PageAnonExclusive(m, 5));
  ClearPageAnonExclusive(m, 5);
  t.notOk(PageAnonExclusive(m, 5));
  t.end();
});

t.test('the masks hold the flags that upstream lists', (t) => {
  const names = (mask: number): string[] => flag_names(mask).sort();
  t.same(names(PAGE_FLAGS_CHECK_AT_FREE), [
    'active',
    'locked',
    'lru',
    'mlocked',
    'private',
    'reserved',
    'unevictable',
    'writeback',
  ]);
  t.same(names(PAGE_FLAGS_SECOND), ['has_hwpoisoned', 'large_rmappable', 'partially_mapped']);
  t.same(names(PAGE_FLAGS_FIRST_BYTE), ['dirty', 'head', 'locked', 'lru', 'referenced', 'uptodate', 'writeback']);
  t.notOk(names(PAGE_FLAGS_CHECK_AT_PREP).includes('hwpoison'), 'memory that failed stays marked');
  t.ok(names(PAGE_FLAGS_CHECK_AT_PREP).includes('dirty'));
  t.same(names(PAGE_FLAGS_MIGRATED), [
    'anon_exclusive',
    'dirty',
    'idle',
    'mappedtodisk',
    'reclaim',
    'referenced',
    'uptodate',
    'workingset',
    'young',
  ]);
  t.same(names(PAGE_FLAGS_SPLIT), [
    'active',
    'dirty',
    'locked',
    'mlocked',
    'referenced',
    'swapbacked',
    'swapcache',
    'unevictable',
    'uptodate',
    'workingset',
  ]);
  t.end();
});

t.test('/proc/kpageflags has the bits of the user-space header', (t) => {
  const kpf = Object.fromEntries(page_flags.filter((f) => f.kpf !== undefined).map((f) => [f.name, f.kpf]));
  t.same(kpf, {
    locked: 0,
    referenced: 2,
    uptodate: 3,
    dirty: 4,
    lru: 5,
    active: 6,
    writeback: 8,
    reclaim: 9,
    swapcache: 13,
    swapbacked: 14,
    unevictable: 18,
    reserved: 32,
    mlocked: 33,
    private: 35,
  });
  t.end();
});
