// SPDX-License-Identifier: GPL-2.0-only

import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { pte_pfn } from '../arch/x86/mm/pgtable/pgtable.ts';
import { user_store32 } from '../arch/x86/mm/uaccess.ts';
import { walk_address } from '../inspect.ts';
import { run_process, small_machine } from '../kernel/testing.ts';
import { lru_add_drain } from './folio.ts';
import { sys_madvise } from './madvise/madvise.ts';
import type { mm_struct } from './mm_types.ts';
import { folio_test_active, folio_test_lru } from './page-flags.ts';
import { pfn_to_page } from './page.ts';
import { folio_isolate_lru, reclaim_pages } from './vmscan.ts';
import t from 'tap';

const PAGE = 4096;
const MADV_FREE = 8;

t.test('a folio is freed or goes back to its list, active', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      const ptr = yield* sys_mmap(m, 0, 2 * PAGE, 3, 0x22, -1, 0);
      for (let i = 0; i < 2; i++) yield* user_store32(m, ptr + i * PAGE, 1);
      yield* sys_madvise(m, ptr, PAGE, MADV_FREE);
      lru_add_drain(m);
      const [free, kept] = [0, 1].map((i) =>
        pfn_to_page(m, pte_pfn(walk_address(m.current.mm as mm_struct, ptr + i * PAGE).entry)),
      ) as [number, number];
      for (const page of [free, kept]) t.equal(folio_isolate_lru(m, page), true);
      t.equal(yield* reclaim_pages(m, [free, kept]), 1);
      t.equal(m.page._refcount[free], 0);
      lru_add_drain(m);
      t.equal(folio_test_lru(m, kept), true);
      t.equal(folio_test_active(m, kept), true);
    }),
    0,
  );
  t.end();
});
