// SPDX-License-Identifier: GPL-2.0-only

import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_SOFT_DIRTY,
  _PAGE_UFFD_WP,
  pfn_pte,
  pmd_index,
  pmd_pfn,
  pmd_trans_huge,
  type ptdesc,
  pte_pfn,
  pte_present,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import { boot } from '../../boot.ts';
import type { Machine } from '../../machine.ts';
import type { address_space } from '../../fs/fs.ts';
import { kernel_wait4 } from '../../kernel/exit.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { down_write, up_write } from '../../kernel/locking/rwsem.ts';
import { sched_yield } from '../../kernel/sched/syscalls.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { filemap_get_entry } from '../filemap/filemap.ts';
import { folio_lock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_put, lru_add_drain_all } from '../folio.ts';
import {
  softleaf_from_pte,
  softleaf_is_migration,
  softleaf_is_migration_read_exclusive,
  softleaf_is_migration_write,
  softleaf_to_pfn,
} from '../leafops.ts';
import { sys_madvise } from '../madvise/madvise.ts';
import { remove_migration_ptes } from '../migrate/entry.ts';
import type { anon_vma, mm_struct, vm_area_struct } from '../mm_types.ts';
import { find_vma } from '../mmap/find_vma.ts';
import { folio_test_dirty, folio_test_swapbacked, PG_dirty } from '../page-flags.ts';
import { folio_get, folio_pfn, pfn_folio } from '../page.ts';
import { pte_at, release } from '../testing.ts';
import { folio_anon_vma } from '../util.ts';
import { folio_isolate_lru, folio_putback_lru } from '../vmscan.ts';
import { folio_mapcount, mm_find_pmd } from './rmap.ts';
import { migration_pte, rmap_walk, type rmap_walk_control, try_to_migrate, try_to_unmap } from './walk.ts';
import t from 'tap';

const [PAGE, HUGE, BASE] = [4096, 2 * 1024 * 1024, 0x200000000];
const [RW, PRIVATE_ANON_FIXED, SHARED_ANON_FIXED] = [3, 0x32, 0x31];
const [SPLIT_HUGE_PMD, IGNORE_MLOCK, RMAP_LOCKED] = [4, 8, 0x80];
const [MADV_FREE, MADV_HUGEPAGE, VM_LOCKED] = [8, 14, 0x2000];
const [ANON_PAGES, SHMEM_PAGES] = [1, 3];

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): void {
  const m = run_clean(t, small_machine({ thp: 'madvise' }), body);
  t.same(m.log.lines, []);
}

/** Returns the folio that the mm maps at an address, locked and referenced. */
function* lock_at(m: Machine, mm: mm_struct, addr: number): Gen<number> {
  yield* lru_add_drain_all(m);
  const folio = pfn_folio(m, pte_pfn(pte_at(mm, addr)));
  folio_get(m, folio);
  yield* folio_lock(m, folio);
  return folio;
}

t.test('a migration entry keeps the page, who may write, and what the old entry knew', (t) => {
  const m = boot({ mem: 64 * 1024 * 1024 });
  const page = pfn_folio(m, 0x123);
  const old = pfn_pte(0x123, 5 | _PAGE_ACCESSED | _PAGE_SOFT_DIRTY);
  const kinds = (
    [
      [true, true],
      [false, true],
      [false, false],
    ] as const
  ).map(([writable, exclusive]) => {
    const leaf = softleaf_from_pte(migration_pte(m, page, old, writable, exclusive));
    t.equal(softleaf_to_pfn(m, leaf), 0x123);
    return [softleaf_is_migration(leaf), softleaf_is_migration_write(leaf), softleaf_is_migration_read_exclusive(leaf)];
  });
  t.same(kinds, [
    [true, true, false],
    [true, false, true],
    [true, false, false],
  ]);
  const bits = (pte: number): number =>
    migration_pte(m, page, pte, false, false) & (_PAGE_ACCESSED | _PAGE_DIRTY | _PAGE_SOFT_DIRTY | _PAGE_UFFD_WP);
  t.equal(bits(old), _PAGE_ACCESSED | _PAGE_SOFT_DIRTY);
  t.equal(bits(pfn_pte(0x123, 5 | _PAGE_DIRTY | _PAGE_UFFD_WP)), _PAGE_DIRTY | _PAGE_UFFD_WP);
  t.equal(bits(pfn_pte(0x123, 5)), 0);
  t.notOk(pte_present(migration_pte(m, page, old, true, true)));
  t.end();
});

t.test(
  'a walk over shared memory meets every mapping of the page in order of its offset, and can be cut short',
  (t) => {
    run(function* (m, mm) {
      yield* sys_mmap(m, BASE, 8 * PAGE, RW, SHARED_ANON_FIXED, -1, 0);
      yield* user_store32(m, BASE + 5 * PAGE, 1);
      const mapping = find_vma(mm, BASE)?.vm_file?.f_mapping as address_space;
      const pid = yield* kernel_clone(m, 17, function* () {
        const child = m.current.mm as mm_struct;
        yield* user_load32(m, BASE + 5 * PAGE);
        const folio = filemap_get_entry(m, mapping, 5);
        yield* folio_lock(m, folio);
        const seen: string[] = [];
        const name = (vma: vm_area_struct): string =>
          vma.vm_mm === mm ? 'parent' : vma.vm_mm === child ? 'child' : '?';
        const rwc = (more: Partial<rmap_walk_control>): rmap_walk_control => ({
          arg: 7,
          *rmap_one(_m, f, vma, addr, arg) {
            seen.push(`${name(vma)} ${(addr - BASE) / PAGE} ${arg} ${f === folio}`);
            return true;
          },
          ...more,
        });
        const [parent_line, child_line] = ['parent 5 7 true', 'child 5 7 true'];
        yield* rmap_walk(m, folio, rwc({}));
        t.same(seen.splice(0), [parent_line, child_line]);
        yield* rmap_walk(m, folio, rwc({ invalid_vma: (vma) => vma.vm_mm === mm }));
        t.same(seen.splice(0), [child_line]);
        yield* rmap_walk(m, folio, rwc({ done: () => seen.length === 1 }));
        t.same(seen.splice(0), [parent_line]);
        yield* rmap_walk(
          m,
          folio,
          rwc({
            *rmap_one(_m, _f, vma) {
              seen.push(name(vma));
              return false;
            },
          }),
        );
        t.same(seen.splice(0), ['parent']);
        yield* down_write(m, mapping.i_mmap_rwsem);
        const busy = rwc({ try_lock: true });
        yield* rmap_walk(m, folio, busy);
        t.same([seen, busy.contended], [[], true]);
        up_write(m, mapping.i_mmap_rwsem);
        release(m, folio);
      });
      yield* kernel_wait4(m, pid, 0);
    });
    t.end();
  },
);

t.test('an unmapped page of a file stays there, takes its dirty mark along, and is counted off', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, BASE, 2 * PAGE, RW, SHARED_ANON_FIXED, -1, 0);
    yield* user_store32(m, BASE, 42);
    const vma = find_vma(mm, BASE) as vm_area_struct;
    const folio = yield* lock_at(m, mm, BASE);
    vma.vm_flags |= VM_LOCKED;
    yield* try_to_unmap(m, folio, 0);
    t.equal(folio_mapcount(m, folio), 1, 'locked memory stays mapped');
    m.page.flags[folio] = m.page.flags[folio] & ~PG_dirty;
    yield* try_to_unmap(m, folio, IGNORE_MLOCK);
    vma.vm_flags &= ~VM_LOCKED;
    t.equal(folio_mapcount(m, folio), 0);
    t.equal(pte_at(mm, BASE), 0);
    t.ok(folio_test_dirty(m, folio));
    t.equal(mm.rss_stat[SHMEM_PAGES], 0);
    release(m, folio);
    t.equal(yield* user_load32(m, BASE), 42);
  });
  t.end();
});

t.test('memory given up with MADV_FREE can be dropped unless it was written since or somebody holds it', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, BASE, 3 * PAGE, RW, PRIVATE_ANON_FIXED, -1, 0);
    for (const i of [0, 1, 2]) yield* user_store32(m, BASE + i * PAGE, 7);
    yield* lru_add_drain_all(m);
    t.equal(yield* sys_madvise(m, BASE, 3 * PAGE, MADV_FREE), 0);
    yield* user_store32(m, BASE + PAGE, 8);
    for (const [i, kept] of [
      [0, 0],
      [1, 8],
      [2, 7],
    ] as const) {
      const folio = yield* lock_at(m, mm, BASE + i * PAGE);
      t.notOk(folio_test_swapbacked(m, folio));
      t.ok(folio_isolate_lru(m, folio), 'as reclaim does');
      folio_put(m, folio);
      if (i === 2) folio_get(m, folio);
      yield* try_to_unmap(m, folio, 0);
      t.equal(folio_mapcount(m, folio), kept === 0 ? 0 : 1);
      t.equal(folio_test_swapbacked(m, folio), i === 1, 'what was written is memory like any other again');
      if (i === 2) folio_put(m, folio);
      folio_unlock(m, folio);
      folio_putback_lru(m, folio);
      t.equal(mm.rss_stat[ANON_PAGES], 2);
      if (kept !== 0) t.equal(yield* user_load32(m, BASE + i * PAGE), kept);
    }
    t.equal(yield* user_load32(m, BASE), 0);
  });
  t.end();
});

t.test('a huge folio becomes one migration entry, or with the split asked for 512, and comes back', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, BASE, HUGE, RW, PRIVATE_ANON_FIXED, -1, 0);
    yield* sys_madvise(m, BASE, HUGE, MADV_HUGEPAGE);
    yield* user_store32(m, BASE, 3);
    yield* lru_add_drain_all(m);
    const pmdt = mm_find_pmd(m, mm, BASE) as ptdesc;
    const pmd = (): number => pmdt.entry[pmd_index(BASE)];
    t.ok(pmd_trans_huge(pmd()));
    const folio = pfn_folio(m, pmd_pfn(pmd()));
    folio_get(m, folio);
    yield* folio_lock(m, folio);
    yield* try_to_migrate(m, folio, 0);
    t.equal(folio_mapcount(m, folio), 0);
    t.ok(softleaf_is_migration_write(softleaf_from_pte(pmd())));
    yield* remove_migration_ptes(m, folio, folio, 0);
    t.ok(pmd_trans_huge(pmd()));
    yield* try_to_migrate(m, folio, SPLIT_HUGE_PMD);
    t.equal(folio_mapcount(m, folio), 0);
    const last = softleaf_from_pte(pte_at(mm, BASE + 511 * PAGE));
    t.same([softleaf_is_migration_write(last), softleaf_to_pfn(m, last)], [true, folio_pfn(m, folio) + 511]);
    yield* remove_migration_ptes(m, folio, folio, 0);
    t.equal(folio_mapcount(m, folio), 512);
    yield* try_to_migrate(m, folio, IGNORE_MLOCK);
    t.equal(folio_mapcount(m, folio), 512, 'a flag that is none of its own');
    t.same(
      m.log.warnings.splice(0).map((w) => w.fn),
      ['try_to_migrate'],
    );
    m.log.lines.length = 0;
    release(m, folio);
    t.equal(yield* user_load32(m, BASE), 3);
  });
  t.end();
});

t.test(
  'a walk waits for the anon_vma that somebody else writes to, and takes a lock only if it was not told that it is held',
  (t) => {
    run(function* (m, mm) {
      yield* sys_mmap(m, BASE, PAGE, RW, PRIVATE_ANON_FIXED, -1, 0);
      yield* user_store32(m, BASE, 1);
      const folio = yield* lock_at(m, mm, BASE);
      const lock = (folio_anon_vma(m, folio) as anon_vma).root.rwsem;
      yield* down_write(m, lock);
      yield* try_to_migrate(m, folio, RMAP_LOCKED);
      t.equal(folio_mapcount(m, folio), 0);
      yield* remove_migration_ptes(m, folio, folio, RMAP_LOCKED);
      t.equal(folio_mapcount(m, folio), 1);
      let migrated = false;
      yield* kernel_clone(m, 0x10500, function* () {
        yield* try_to_migrate(m, folio, 0);
        yield* remove_migration_ptes(m, folio, folio, 0);
        migrated = true;
      });
      for (let i = 0; i < 3; i++) yield* sched_yield(m);
      t.same([migrated, folio_mapcount(m, folio)], [false, 1]);
      up_write(m, lock);
      while (!migrated) yield* sched_yield(m);
      t.ok(pte_present(pte_at(mm, BASE)));
      release(m, folio);
    });
    t.end();
  },
);
