// SPDX-License-Identifier: GPL-2.0-only

import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { type ptdesc, pte_dirty, pte_pfn, pte_write, pte_young } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { vma_at, walk_address } from '../../inspect.ts';
import { kernel_wait4 } from '../../kernel/exit.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { folio_lock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_put, lru_add_drain_all } from '../folio.ts';
import { pin_user_pages_fast } from '../gup/gup.ts';
import { unpin_user_pages } from '../gup/pin.ts';
import { swp_type } from '../leafops.ts';
import { remove_migration_ptes } from '../migrate/entry.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { PageAnonExclusive } from '../page-flags.ts';
import { folio_get } from '../page.ts';
import { try_to_migrate } from '../rmap/walk.ts';
import { run_thp } from '../testing.ts';
import { copy_huge_pmd } from './copy.ts';
import t from 'tap';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const RW = 3;
const PRIVATE_ANON_FIXED = 0x32;
const ANON_PAGES = 1;
const MIGRATION_READ = 0x19;
const EAGAIN = -11;

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): void {
  run_thp(t, MAP, HUGE, body);
}

/** Forks; the child runs `body` with its mm, and the parent waits for it. */
function* in_child(m: Machine, body: (child: mm_struct) => Gen<void>): Gen<void> {
  const pid = yield* kernel_clone(m, 0, () => body(m.current.mm as mm_struct));
  yield* kernel_wait4(m, pid, 0);
}

const entry = (mm: mm_struct, addr = MAP): number => walk_address(mm, addr).entry;

t.test(
  'the child gets the folio read-only and old, with a deposited table; the parent loses the right to write',
  async (t) => {
    run(function* (m, mm) {
      yield* user_store32(m, MAP, 7);
      yield* lru_add_drain_all(m);
      const folio = m.page.pfn_to_page(pte_pfn(entry(mm)));
      yield* in_child(m, function* (child) {
        t.same([walk_address(child, MAP).level, pte_pfn(entry(child))], ['pmd', pte_pfn(entry(mm))]);
        t.same([pte_write(entry(child)), pte_dirty(entry(child)), pte_young(entry(child))], [false, true, false]);
        t.same([pte_write(entry(mm)), pte_young(entry(mm))], [false, true]);
        t.equal(child.rss_stat[ANON_PAGES], mm.rss_stat[ANON_PAGES]);
        t.equal((walk_address(child, MAP).table as ptdesc).pmd_huge_pte.length, 1);
        t.same([m.page._refcount[folio], PageAnonExclusive(m, folio)], [2, false]);
        t.equal(yield* user_load32(m, MAP), 7);
        t.ok(pte_young(entry(child)));
      });
      t.equal(m.page._refcount[folio], 1);
    });
  },
);

t.test("a folio that may be pinned is copied page by page: the pinned page stays the parent's", async (t) => {
  run(function* (m, mm) {
    yield* user_store32(m, MAP + 5 * PAGE, 5);
    const pages = new Int32Array(1);
    t.equal(yield* pin_user_pages_fast(m, MAP + 5 * PAGE, 1, 1, pages), 1);
    const pfn = pte_pfn(entry(mm));
    yield* in_child(m, function* (child) {
      t.same([walk_address(mm, MAP).level, walk_address(child, MAP).level], ['pte', 'pte']);
      t.ok(pte_write(entry(mm, MAP + 5 * PAGE)));
      t.equal(pte_pfn(entry(mm, MAP + 5 * PAGE)), pfn + 5);
      t.not(pte_pfn(entry(child, MAP + 5 * PAGE)), pfn + 5);
      t.equal(yield* user_load32(m, MAP + 5 * PAGE), 5);
      t.equal(child.rss_stat[ANON_PAGES], mm.rss_stat[ANON_PAGES]);
    });
    unpin_user_pages(m, pages, 1);
  });
});

t.test('the huge zero folio is shared without being counted', async (t) => {
  run(function* (m, mm) {
    yield* user_load32(m, MAP);
    const before = m.thp.huge_zero_refcount;
    yield* in_child(m, function* (child) {
      t.equal(entry(child) - (entry(child) % 2 ** 20), entry(mm) - (entry(mm) % 2 ** 20));
      t.equal(m.thp.huge_zero_refcount, before + 1, 'once an mm');
      yield* user_store32(m, MAP, 1);
      t.equal(child.rss_stat[ANON_PAGES], 512 + mm.rss_stat[ANON_PAGES]);
    });
    t.equal(m.thp.huge_zero_refcount, before);
    t.equal(yield* user_load32(m, MAP), 0);
  });
});

t.test('a migration entry is copied as one that both may only read', async (t) => {
  run(function* (m, mm) {
    yield* user_store32(m, MAP, 3);
    const folio = m.page.pfn_to_page(pte_pfn(entry(mm)));
    folio_get(m, folio);
    yield* folio_lock(m, folio);
    yield* try_to_migrate(m, folio, 0);
    yield* in_child(m, function* (child) {
      t.same([swp_type(entry(mm)), swp_type(entry(child))], [MIGRATION_READ, MIGRATION_READ]);
      yield* remove_migration_ptes(m, folio, folio, 0);
      folio_unlock(m, folio);
      folio_put(m, folio);
      t.equal(yield* user_load32(m, MAP), 3);
      t.notOk(pte_write(entry(child)) || pte_write(entry(mm)) || PageAnonExclusive(m, folio));
    });
  });
});

t.test('what is no huge pmd any more is to be copied as ptes', async (t) => {
  run(function* (m, mm) {
    yield* user_store32(m, MAP, 1);
    yield* sys_mmap(m, MAP + PAGE, PAGE, RW, PRIVATE_ANON_FIXED, -1, 0);
    const pmdt = mm.pgd.child?.[0]?.child?.[8] as ptdesc;
    t.equal(pmdt.level, 2);
    const vma = vma_at(mm, MAP) as vm_area_struct;
    const free = m.zone.nr_free;
    yield* in_child(m, function* (child) {
      const to = child.pgd.child?.[0]?.child?.[8] as ptdesc;
      const before = m.zone.nr_free;
      t.equal(yield* copy_huge_pmd(m, to, pmdt, MAP, vma_at(child, MAP) as vm_area_struct, vma), EAGAIN);
      t.equal(m.zone.nr_free, before, 'the table allocated for it is free again');
    });
    t.equal(m.zone.nr_free, free);
  });
});
