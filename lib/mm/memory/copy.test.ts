// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import type { ptdesc } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { type Leaf, walk_address } from '../../inspect.ts';
import { kernel_wait4 } from '../../kernel/exit.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { folio_lock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_put } from '../folio.ts';
import {
  make_device_exclusive_entry,
  make_pte_marker_entry,
  softleaf_from_pte,
  softleaf_to_marker,
  swp_type,
} from '../leafops.ts';
import { remove_migration_ptes } from '../migrate/entry.ts';
import { type anon_vma, type mm_struct, vm_area_struct } from '../mm_types.ts';
import { folio_get, pfn_to_page } from '../page.ts';
import { ptep_clear_flush } from '../pgtable-generic.ts';
import { folio_mapcount } from '../rmap/rmap.ts';
import { try_to_migrate } from '../rmap/walk.ts';
import { copy_pte_marker, vma_needs_copy } from './copy.ts';

const PAGE = 4096;
const MAP = 0x200000000;
const [PRIVATE, SHARED] = [0x32, 0x31];
const [PRESENT, PTE_RW, ACCESSED, DIRTY, SOFT_DIRTY] = [1, 2, 8, 16, 256];
const [VM_PFNMAP, VM_UFFD_WP, VM_MAYBE_GUARD] = [0x400, 0x1000, 0x800];
const [UFFD_WP, POISONED, GUARD] = [1, 2, 4];
const [ANONPAGES, SHMEMPAGES] = [1, 3];
const anon_exclusive = 1 << 7;
const HAS_PINNED = 2;
const ENOMEM = -12;

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): void {
  run_clean(t, small_machine(), body);
}

/** A private page that was written, its entry and its folio. */
function* page_at(m: Machine, mm: mm_struct, addr: number): Gen<{ leaf: Leaf & { table: ptdesc }; folio: number }> {
  yield* sys_mmap(m, addr, PAGE, 3, PRIVATE, -1, 0);
  yield* user_store32(m, addr, 5);
  const leaf = walk_address(mm, addr) as Leaf & { table: ptdesc };
  return { leaf, folio: pfn_to_page(m, Math.floor(leaf.entry / 2 ** 20)) };
}

/** Forks a child that only exits, and calls back with its address space before it does. */
function* fork(m: Machine, look: (child: mm_struct) => Gen<void>): Gen<number> {
  const pid = yield* kernel_clone(m, 0, function* () {});
  if (pid < 0) return pid;
  yield* look(m.sched.tasks.find((c) => c.pid === pid)?.mm as mm_struct);
  yield* kernel_wait4(m, pid, 0);
  return 0;
}

t.test('a written page is read-only in both after fork, and old in the child', (t) => {
  run(function* (m, mm) {
    const { leaf, folio } = yield* page_at(m, mm, MAP);
    const seq = mm.write_protect_seq;
    yield* fork(m, function* (child) {
      const flags = (mm: mm_struct): number => walk_address(mm, MAP).entry & (PRESENT | PTE_RW | ACCESSED | DIRTY);
      t.equal(flags(mm), PRESENT | ACCESSED | DIRTY);
      t.equal(flags(child), PRESENT | DIRTY);
      t.equal(Math.floor(walk_address(child, MAP).entry / 2 ** 20), Math.floor(leaf.entry / 2 ** 20));
      t.same([folio_mapcount(m, folio), child.rss_stat[ANONPAGES]], [2, 1]);
      t.equal(m.page.flags[folio] & anon_exclusive, 0);
      t.equal(mm.write_protect_seq, seq + 2, 'GUP-fast saw that it ran');
    });
  });
  t.end();
});

t.test("a page that may be pinned stays the parent's alone, and the child gets a copy", (t) => {
  run(function* (m, mm) {
    const { leaf, folio } = yield* page_at(m, mm, MAP);
    m.page._refcount[folio] += 1024;
    mm.flags |= HAS_PINNED;
    yield* fork(m, function* (child) {
      const copy = walk_address(child, MAP).entry;
      t.equal(walk_address(mm, MAP).entry, leaf.entry);
      t.not(Math.floor(copy / 2 ** 20), Math.floor(leaf.entry / 2 ** 20));
      t.equal(copy & (PRESENT | PTE_RW | DIRTY), PRESENT | PTE_RW | DIRTY);
      t.equal(m.ram.bytes(Math.floor(copy / 2 ** 20))[0], 5);
      t.same([folio_mapcount(m, folio), child.rss_stat[ANONPAGES]], [1, 1]);
    });
    m.page._refcount[folio] -= 1024;
  });
  t.end();
});

t.test('what a fault can find again is not copied, what none can is', (t) => {
  const vma = new vm_area_struct({} as mm_struct, MAP, MAP + PAGE);
  t.notOk(vma_needs_copy(vma, vma));
  for (const flag of [VM_PFNMAP, VM_UFFD_WP, VM_MAYBE_GUARD]) {
    vma.vm_flags = flag;
    t.ok(vma_needs_copy(vma, vma));
  }
  vma.vm_flags = 0;
  vma.anon_vma = {} as anon_vma;
  t.ok(vma_needs_copy(vma, vma));
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, PAGE, 3, SHARED, -1, 0);
    yield* user_store32(m, MAP, 5);
    t.equal(mm.rss_stat[SHMEMPAGES], 1);
    yield* fork(m, function* (child) {
      t.same([walk_address(child, MAP).entry, child.rss_stat[SHMEMPAGES]], [0, 0]);
      t.equal(walk_address(mm, MAP).entry & PTE_RW, PTE_RW);
    });
  });
  t.end();
});

t.test('migration entries become readable in both', (t) => {
  run(function* (m, mm) {
    const { folio } = yield* page_at(m, mm, MAP);
    folio_get(m, folio);
    yield* folio_lock(m, folio);
    yield* try_to_migrate(m, folio, 0);
    t.equal(swp_type(walk_address(mm, MAP).entry), 0x1b, 'a writable one');
    yield* fork(m, function* (child) {
      t.same(
        [mm, child].map((x) => swp_type(walk_address(x, MAP).entry)),
        [0x19, 0x19],
      );
      t.equal(child.rss_stat[ANONPAGES], 1);
      yield* remove_migration_ptes(m, folio, folio, 0);
      t.equal(folio_mapcount(m, folio), 2);
      t.equal(walk_address(mm, MAP).entry & PTE_RW, 0);
    });
    folio_unlock(m, folio);
    folio_put(m, folio);
  });
  t.end();
});

t.test('fork takes device exclusive pages back, and fails if one is locked', (t) => {
  run(function* (m, mm) {
    const { leaf, folio } = yield* page_at(m, mm, MAP);
    const vma = mm.mm_mt.find((v) => v.vm_start === MAP) as vm_area_struct;
    ptep_clear_flush(m, vma, MAP, leaf.table, leaf.index);
    const exclusive = make_device_exclusive_entry(Math.floor(leaf.entry / 2 ** 20)) + (leaf.entry & SOFT_DIRTY);
    leaf.table.entry[leaf.index] = exclusive;
    yield* folio_lock(m, folio);
    t.equal(yield* kernel_clone(m, 0, function* () {}), ENOMEM);
    t.same([walk_address(mm, MAP).entry, folio_mapcount(m, folio)], [exclusive, 1]);
    folio_unlock(m, folio);
    t.equal(
      yield* fork(m, function* (child) {
        t.same(
          [mm, child].map((x) => walk_address(x, MAP).entry & (PRESENT | PTE_RW)),
          [PRESENT, PRESENT],
        );
        t.equal(folio_mapcount(m, folio), 2);
      }),
      0,
    );
    t.equal(yield* user_load32(m, MAP), 5);
  });
  t.end();
});

t.test('the child keeps guards and poison, and write protection only with its userfaultfd', (t) => {
  const m = small_machine();
  const vma = new vm_area_struct({} as mm_struct, MAP, MAP + PAGE);
  t.equal(copy_pte_marker(m, make_pte_marker_entry(UFFD_WP), vma), 0);
  t.equal(copy_pte_marker(m, make_pte_marker_entry(UFFD_WP | POISONED | GUARD), vma), POISONED | GUARD);
  vma.vm_flags = VM_UFFD_WP;
  t.equal(copy_pte_marker(m, make_pte_marker_entry(UFFD_WP | GUARD), vma), UFFD_WP | GUARD);
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, 2 * PAGE, 3, PRIVATE, -1, 0);
    yield* user_load32(m, MAP);
    const { table, index } = walk_address(mm, MAP) as Leaf & { table: ptdesc };
    table.entry[index + 1] = make_pte_marker_entry(GUARD);
    (mm.mm_mt.find((v) => v.vm_start === MAP) as vm_area_struct).vm_flags |= VM_MAYBE_GUARD;
    yield* fork(m, function* (child) {
      t.equal(softleaf_to_marker(m, softleaf_from_pte(walk_address(child, MAP + PAGE).entry)), GUARD);
      t.equal(walk_address(child, MAP).entry & PRESENT, PRESENT, 'the page of zeroes goes along');
      t.equal(child.rss_stat[ANONPAGES], 0);
    });
  });
  t.end();
});
