// SPDX-License-Identifier: GPL-2.0-only

import { do_syscall_64 } from '../../arch/x86/entry/syscall_64.ts';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import {
  type ptdesc,
  pte_dirty,
  pte_mkclean,
  pte_mkold,
  pte_pfn,
  pte_write,
  pte_young,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { vma_at, walk_address } from '../../inspect.ts';
import { kernel_wait4 } from '../../kernel/exit.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { sched_yield } from '../../kernel/sched/syscalls.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { folio_lock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_put, lru_add_drain_all } from '../folio.ts';
import { pin_user_pages_fast } from '../gup/gup.ts';
import { unpin_user_pages } from '../gup/pin.ts';
import { swp_type } from '../leafops.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { folio_clear_dirty, folio_test_dirty, PageAnonExclusive } from '../page-flags.ts';
import { folio_get } from '../page.ts';
import { DEFINE_FOLIO_VMA_WALK, type page_vma_mapped_walk } from '../page_vma_mapped.ts';
import { folio_mapcount } from '../rmap/rmap.ts';
import { remove_migration_pmd, set_pmd_migration_entry } from './migration.ts';
import t from 'tap';

const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const [R, RW] = [1, 3];
const PRIVATE_ANON_FIXED = 0x32;
const NR_mprotect = 10;
const [READ, READ_EXCLUSIVE, WRITE] = [0x19, 0x1a, 0x1b];
const EBUSY = -16;

/** Runs `body` with the folio that a pmd maps, locked and referenced, and a walk that found the pmd. */
function run(
  prepare: (m: Machine) => Gen<unknown>,
  body: (m: Machine, mm: mm_struct, folio: number, pvmw: page_vma_mapped_walk) => Gen<void>,
): void {
  run_clean(t, small_machine({ thp: 'always' }), function* (m, mm) {
    yield* sys_mmap(m, MAP, HUGE, RW, PRIVATE_ANON_FIXED, -1, 0);
    yield* user_store32(m, MAP, 9);
    yield* lru_add_drain_all(m);
    yield* prepare(m);
    const leaf = walk_address(mm, MAP);
    const folio = m.page.pfn_to_page(pte_pfn(leaf.entry));
    const pvmw = DEFINE_FOLIO_VMA_WALK(m, folio, vma_at(mm, MAP) as vm_area_struct, MAP, 0);
    pvmw.pmdt = leaf.table;
    pvmw.pi = leaf.index;
    folio_get(m, folio);
    yield* folio_lock(m, folio);
    yield* body(m, mm, folio, pvmw);
    folio_unlock(m, folio);
    folio_put(m, folio);
    t.equal(yield* user_load32(m, MAP), 9);
  });
}

function* nothing(): Gen<void> {}
const entry = (mm: mm_struct): number => walk_address(mm, MAP).entry;

t.test('a writable, dirty, young pmd goes there and back unchanged', async (t) => {
  run(nothing, function* (m, mm, folio, pvmw) {
    const before = entry(mm);
    t.same([pte_write(before), pte_dirty(before), pte_young(before)], [true, true, true]);
    folio_clear_dirty(m, folio);
    t.equal(set_pmd_migration_entry(m, pvmw, folio), 0);
    t.equal(swp_type(entry(mm)), WRITE);
    t.ok(folio_test_dirty(m, folio), 'what was written is not forgotten');
    t.same([m.page._refcount[folio], folio_mapcount(m, folio), PageAnonExclusive(m, folio)], [1, 0, false]);
    remove_migration_pmd(m, pvmw, folio);
    t.equal(entry(mm), before);
    t.same([m.page._refcount[folio], folio_mapcount(m, folio), PageAnonExclusive(m, folio)], [2, 1, true]);
  });
});

t.test('a clean and old pmd stays so', async (t) => {
  run(nothing, function* (m, mm, folio, pvmw) {
    const pmdt = pvmw.pmdt as ptdesc;
    pmdt.entry[pvmw.pi] = pte_mkold(pte_mkclean(entry(mm)));
    folio_clear_dirty(m, folio);
    set_pmd_migration_entry(m, pvmw, folio);
    t.notOk(folio_test_dirty(m, folio));
    remove_migration_pmd(m, pvmw, folio);
    t.same([pte_write(entry(mm)), pte_dirty(entry(mm)), pte_young(entry(mm))], [true, false, false]);
  });
});

t.test('a read-only pmd of an exclusive folio is told from one of a shared folio', async (t) => {
  run(
    (m) => do_syscall_64(m, NR_mprotect, MAP, HUGE, R),
    function* (m, mm, folio, pvmw) {
      set_pmd_migration_entry(m, pvmw, folio);
      t.equal(swp_type(entry(mm)), READ_EXCLUSIVE);
      remove_migration_pmd(m, pvmw, folio);
      t.same([pte_write(entry(mm)), PageAnonExclusive(m, folio)], [false, true]);
    },
  );
  run(nothing, function* (m, mm, folio, pvmw) {
    let done = false;
    const pid = yield* kernel_clone(m, 0, function* () {
      while (!done) yield* sched_yield(m);
    });
    set_pmd_migration_entry(m, pvmw, folio);
    t.equal(swp_type(entry(mm)), READ);
    t.equal(folio_mapcount(m, folio), 1, 'the child still maps it');
    remove_migration_pmd(m, pvmw, folio);
    t.same([pte_write(entry(mm)), PageAnonExclusive(m, folio), folio_mapcount(m, folio)], [false, false, 2]);
    done = true;
    yield* kernel_wait4(m, pid, 0);
  });
});

t.test('a folio that may be pinned keeps its pmd', async (t) => {
  run(nothing, function* (m, mm, folio, pvmw) {
    const pages = new Int32Array(1);
    yield* pin_user_pages_fast(m, MAP + 4096, 1, 1, pages);
    const before = entry(mm);
    t.equal(set_pmd_migration_entry(m, pvmw, folio), EBUSY);
    t.equal(entry(mm), before);
    t.same([folio_mapcount(m, folio), PageAnonExclusive(m, folio)], [1, true]);
    unpin_user_pages(m, pages, 1);
  });
});

t.test('a walk that stands on ptes or nowhere is not for these functions', async (t) => {
  run(nothing, function* (m, mm, folio, pvmw) {
    const before = entry(mm);
    t.equal(set_pmd_migration_entry(m, { ...pvmw, pmdt: null }, folio), 0);
    t.equal(set_pmd_migration_entry(m, { ...pvmw, pte: pvmw.pmdt }, folio), 0);
    remove_migration_pmd(m, { ...pvmw, pmdt: null }, folio);
    t.equal(entry(mm), before);
    t.equal(m.page._refcount[folio], 2);
  });
});
