// SPDX-License-Identifier: GPL-2.0-only

import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import {
  type ptdesc,
  pte_dirty,
  pte_mkold,
  pte_mkuffd,
  pte_pfn,
  pte_special,
  pte_uffd,
  pte_write,
  pte_wrprotect,
  pte_young,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { vma_at, walk_address } from '../../inspect.ts';
import type { Gen } from '../../kernel/gen.ts';
import { folio_lock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_put, lru_add_drain_all } from '../folio.ts';
import { pin_user_pages_fast } from '../gup/gup.ts';
import { unpin_user_pages } from '../gup/pin.ts';
import { softleaf_from_pte, softleaf_to_pfn, swp_type } from '../leafops.ts';
import { remove_migration_ptes } from '../migrate/entry.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { mmu_notifier, mmu_notifier_register } from '../mmu_notifier.ts';
import { folio_clear_dirty, folio_test_dirty, PageAnonExclusive } from '../page-flags.ts';
import { folio_get } from '../page.ts';
import { folio_mapcount } from '../rmap/rmap.ts';
import { try_to_migrate } from '../rmap/walk.ts';
import { run_thp } from '../testing.ts';
import { __split_huge_pmd, split_huge_pmd, split_huge_pmd_address } from './split_pmd.ts';
import t from 'tap';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const [RW, SHARED_ANON_FIXED] = [3, 0x31];
const SHMEM_PAGES = 3;
const MIGRATION_WRITE = 0x1b;
const NOTIFY_CLEAR = 1;

interface Place {
  vma: vm_area_struct;
  pmdt: ptdesc;
  pi: number;
  folio: number;
}

function run(body: (m: Machine, mm: mm_struct, at: () => Place) => Gen<void>): void {
  run_thp(t, MAP, HUGE, function* (m, mm) {
    yield* body(m, mm, () => {
      const leaf = walk_address(mm, MAP);
      return {
        vma: vma_at(mm, MAP) as vm_area_struct,
        pmdt: leaf.table as ptdesc,
        pi: leaf.index,
        folio: m.page.pfn_to_page(pte_pfn(leaf.entry)),
      };
    });
  });
}

const pte = (mm: mm_struct, i: number): number => walk_address(mm, MAP + i * PAGE).entry;

t.test('the ptes take over every property of the pmd, and mirrors hear of it', async (t) => {
  run(function* (m, mm, at) {
    yield* user_store32(m, MAP, 1);
    yield* lru_add_drain_all(m);
    const { vma, pmdt, pi, folio } = at();
    const ranges: number[] = [];
    yield* mmu_notifier_register(
      m,
      new mmu_notifier({
        *invalidate_range_start(_m, _sub, range) {
          if (range.start === MAP) ranges.push(range.event, range.end - range.start);
          return 0;
        },
      }),
      mm,
    );
    pmdt.entry[pi] = pte_mkuffd(pte_mkold(pte_wrprotect(pmdt.entry[pi])));
    folio_clear_dirty(m, folio);
    yield* split_huge_pmd(m, vma, pmdt, pi, MAP + 100 * PAGE);
    t.same(ranges, [NOTIFY_CLEAR, HUGE]);
    t.equal(m.thp.vm_events.get('THP_SPLIT_PMD'), 1);
    t.ok(folio_test_dirty(m, folio));
    for (const i of [0, 511]) {
      const e = pte(mm, i);
      t.same([pte_write(e), pte_young(e), pte_dirty(e), pte_uffd(e)], [false, false, true, true]);
      t.equal(pte_pfn(e), m.page.page_to_pfn(folio) + i);
      t.ok(PageAnonExclusive(m, folio + i));
    }
    yield* split_huge_pmd(m, vma, pmdt, pi, MAP);
    yield* split_huge_pmd_address(m, vma, MAP + 4096 * HUGE, false);
    t.equal(m.thp.vm_events.get('THP_SPLIT_PMD'), 1, 'a table is not split, nor what does not exist');
  });
});

t.test('frozen, the ptes are migration entries at once and hold no reference', async (t) => {
  run(function* (m, mm, at) {
    yield* user_store32(m, MAP, 7);
    yield* lru_add_drain_all(m);
    const { vma, folio } = at();
    folio_get(m, folio);
    yield* folio_lock(m, folio);
    yield* split_huge_pmd_address(m, vma, MAP, true);
    t.same([swp_type(pte(mm, 0)), swp_type(pte(mm, 511))], [MIGRATION_WRITE, MIGRATION_WRITE]);
    t.equal(softleaf_to_pfn(m, softleaf_from_pte(pte(mm, 511))), m.page.page_to_pfn(folio) + 511);
    t.same([m.page._refcount[folio], folio_mapcount(m, folio), PageAnonExclusive(m, folio)], [1, 0, false]);
    yield* remove_migration_ptes(m, folio, folio, 0);
    folio_unlock(m, folio);
    folio_put(m, folio);
    t.same([m.page._refcount[folio], folio_mapcount(m, folio)], [512, 512]);
    t.equal(yield* user_load32(m, MAP), 7);
  });
});

t.test('a folio that may be pinned is not frozen: its ptes stay present and exclusive', async (t) => {
  run(function* (m, mm, at) {
    yield* user_store32(m, MAP, 1);
    const { vma, folio } = at();
    const pages = new Int32Array(1);
    yield* pin_user_pages_fast(m, MAP, 1, 1, pages);
    yield* folio_lock(m, folio);
    yield* split_huge_pmd_address(m, vma, MAP, true);
    folio_unlock(m, folio);
    t.ok(pte_write(pte(mm, 0)) && PageAnonExclusive(m, folio + 511));
    unpin_user_pages(m, pages, 1);
  });
});

t.test('a migration entry is split into those of its pages', async (t) => {
  run(function* (m, mm, at) {
    yield* user_store32(m, MAP, 8);
    yield* lru_add_drain_all(m);
    const { vma, pmdt, pi, folio } = at();
    folio_get(m, folio);
    yield* folio_lock(m, folio);
    yield* try_to_migrate(m, folio, 0);
    yield* __split_huge_pmd(m, vma, pmdt, pi, MAP, false);
    t.equal(swp_type(pte(mm, 5)), MIGRATION_WRITE);
    t.equal(softleaf_to_pfn(m, softleaf_from_pte(pte(mm, 5))), m.page.page_to_pfn(folio) + 5);
    t.equal(m.page._refcount[folio], 1, 'entries of a migration hold no references');
    yield* remove_migration_ptes(m, folio, folio, 0);
    folio_unlock(m, folio);
    folio_put(m, folio);
    t.equal(yield* user_load32(m, MAP), 8);
    t.ok(pte_write(pte(mm, 5)));
  });
});

t.test('the huge zero folio becomes small ones; a pmd of a file is only unmapped', async (t) => {
  run(function* (m, mm, at) {
    yield* user_load32(m, MAP);
    yield* split_huge_pmd(m, at().vma, at().pmdt, at().pi, MAP);
    for (const i of [0, 511])
      t.same([pte_pfn(pte(mm, i)), pte_special(pte(mm, i))], [m.page.page_to_pfn(m.zero_page), true]);
    m.thp.shmem_enabled = 'force';
    yield* sys_mmap(m, MAP, HUGE, RW, SHARED_ANON_FIXED, -1, 0);
    yield* user_store32(m, MAP, 6);
    const { vma, pmdt, pi, folio } = at();
    t.same([walk_address(mm, MAP).level, mm.rss_stat[SHMEM_PAGES], folio_mapcount(m, folio)], ['pmd', 512, 1]);
    folio_clear_dirty(m, folio);
    yield* split_huge_pmd(m, vma, pmdt, pi, MAP);
    t.same([pmdt.entry[pi], mm.rss_stat[SHMEM_PAGES], folio_mapcount(m, folio)], [0, 0, 0]);
    t.ok(folio_test_dirty(m, folio));
    t.equal(yield* user_load32(m, MAP), 6);
  });
});
