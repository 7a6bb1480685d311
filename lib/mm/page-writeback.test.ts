// SPDX-License-Identifier: GPL-2.0-only

import { Machine } from '../machine.ts';
import { folio_mark_uptodate, folio_set_reclaim, PG_dirty, PG_reclaim, PG_uptodate, set_flags } from './page-flags.ts';
import { folio_cancel_dirty, folio_mark_dirty, folio_mark_dirty_lock } from './page-writeback.ts';
import { pfn_to_page } from './page.ts';
import t from 'tap';

t.test('only the first to mark a folio dirty is told that it was clean, until that is forgotten', (t) => {
  const m = new Machine({ mem: 64 * 1024 * 1024 });
  const folio = pfn_to_page(m, 100);
  folio_mark_uptodate(m, folio);
  t.equal(folio_mark_dirty(m, folio), true);
  t.equal(folio_mark_dirty(m, folio), false);
  t.equal(folio_mark_dirty_lock(m, folio), false);
  t.equal(m.page.flags[folio], PG_dirty | PG_uptodate);
  t.equal(m.page.flags[folio + 1], 0, 'the next page is not it');
  folio_cancel_dirty(m, folio);
  folio_cancel_dirty(m, folio);
  t.equal(m.page.flags[folio], PG_uptodate);
  t.equal(folio_mark_dirty_lock(m, folio), true);
  t.end();
});

t.test('a dirty folio is not one to be reclaimed next, even if it was dirty before', (t) => {
  const m = new Machine({ mem: 64 * 1024 * 1024 });
  const folio = pfn_to_page(m, 100);
  set_flags(m, folio, PG_reclaim | PG_dirty);
  t.equal(folio_mark_dirty(m, folio), false);
  t.equal(m.page.flags[folio], PG_dirty);
  folio_set_reclaim(m, folio);
  folio_cancel_dirty(m, folio);
  t.equal(m.page.flags[folio], PG_reclaim, 'to forget it leaves the mark');
  t.end();
});
