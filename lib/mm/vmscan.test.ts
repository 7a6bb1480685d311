// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { runProgram } from '../../harness/libc.ts';
import * as U from '../../harness/uapi.ts';
import { walk_address } from '../inspect.ts';
import { boot } from '../boot.ts';
import type { mm_struct } from './mm_types.ts';
import { PG_active, PG_lru, pfn_to_page, test_flag } from './page.ts';
import { pte_pfn } from './pgtable.ts';
import { folio_isolate_lru, lru_add_drain } from './swap.ts';
import { reclaim_pages } from './vmscan.ts';

const PAGE = 4096;
const MADV_FREE = 8;

t.test('a folio is freed or goes back to its list, active', (t) => {
  const m = boot({ mem: 128 * 1024 * 1024 });
  const status = runProgram(m, function* (c) {
    const ptr = yield* c.mmap(0, 2 * PAGE, U.PROT_READ | U.PROT_WRITE, U.MAP_PRIVATE | U.MAP_ANONYMOUS, -1, 0);
    for (let i = 0; i < 2; i++) yield* c.store32(ptr + i * PAGE, 1);
    yield* c.madvise(ptr, PAGE, MADV_FREE);
    lru_add_drain(m);
    const [free, kept] = [0, 1].map((i) => pfn_to_page(m, pte_pfn(walk_address(m.current.mm as mm_struct, ptr + i * PAGE).entry))) as [number, number];
    for (const page of [free, kept]) t.equal(folio_isolate_lru(m, page), true);
    t.equal(yield* reclaim_pages(m, [free, kept]), 1);
    t.equal(m.page._refcount[free], 0);
    lru_add_drain(m);
    t.equal(test_flag(m, kept, PG_lru), true);
    t.equal(test_flag(m, kept, PG_active), true);
    return 0;
  });
  t.equal(status, 0);
  t.end();
});
