// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import type { PatchId } from '../../patches/index.ts';
import { folio_unlock, trylock_page } from '../filemap/folio_lock.ts';
import { make_writable_device_private_entry } from '../leafops.ts';
import { memremap_pages, memunmap_pages, zone_device_folio_init } from '../memremap.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { mmap_read_lock, mmap_read_unlock } from '../mmap_lock.ts';
import { folio_test_locked } from '../page-flags.ts';
import { page_to_pfn, pfn_to_page } from '../page.ts';
import { ptep_clear_flush } from '../pgtable-generic.ts';
import { anon_vma_prepare } from '../rmap/anon_vma.ts';
import { folio_add_new_anon_rmap } from '../rmap/rmap.ts';
import { leaf_at, private_pagemap } from '../testing.ts';
import { handle_mm_fault } from './fault.ts';

const PAGE = 4096;
const MAP = 0x200000000;
const [NONE, RW, FIXED_ANON] = [0, 3, 0x32];
const [SIGBUS, REMOTE] = [2, 0x80];
const ANONPAGES = 1;

interface Fixture {
  m: Machine;
  page: number;
  /** what migrate_to_ram() and folio_free() saw */
  seen: unknown[];
  fault: (flags: number) => Gen<number>;
}

/** Runs the body where a device-private page is mapped at MAP, whose driver answers every fault by SIGBUS. */
function run(patches: PatchId[], body: (f: Fixture) => Gen<void>): void {
  run_clean(t, small_machine({ patches }), function* (m: Machine, mm: mm_struct) {
    yield* sys_mmap(m, MAP, PAGE, RW, FIXED_ANON, -1, 0);
    yield* user_load32(m, MAP);
    const vma = mm.mm_mt.find((v) => v.vm_start === MAP) as vm_area_struct;
    yield* anon_vma_prepare(m, vma);
    const seen: unknown[] = [];
    const pgmap = private_pagemap('me');
    pgmap.ops = {
      folio_free: (_m, folio) => void seen.push(['freed', folio]),
      *migrate_to_ram(_m, vmf) {
        seen.push([vmf.page, folio_test_locked(m, vmf.page), m.page._refcount[vmf.page], vmf.address]);
        return SIGBUS;
      },
    };
    yield* memremap_pages(m, pgmap, 0);
    const page = pfn_to_page(m, pgmap.range.start / PAGE);
    zone_device_folio_init(m, page, pgmap, 0);
    folio_unlock(m, page);
    folio_add_new_anon_rmap(m, page, vma, MAP, 1);
    mm.rss_stat[ANONPAGES] = 1;
    const { table, index } = leaf_at(mm, MAP);
    ptep_clear_flush(m, vma, MAP, table, index);
    table.entry[index] = make_writable_device_private_entry(page_to_pfn(m, page));
    const fault = function* (flags: number): Gen<number> {
      yield* mmap_read_lock(m, mm);
      const ret = yield* handle_mm_fault(m, vma, MAP + 17, flags);
      mmap_read_unlock(m, mm);
      return ret;
    };
    yield* body({ m, page, seen, fault });
    t.same([folio_test_locked(m, page), m.page._refcount[page]], [false, 1]);
    seen.length = 0;
    yield* sys_mmap(m, MAP, PAGE, NONE, FIXED_ANON, -1, 0);
    t.same(seen, [['freed', page]]);
    yield* memunmap_pages(m, pgmap);
  });
}

t.test('the driver is called with the page locked and held, and its answer is that of the fault', (t) => {
  for (const [patches, locked, refcount, ret] of [
    [[], true, 2, SIGBUS],
    [['no-b570f37a2ce4'], true, 2, SIGBUS],
    [['no-1afaeb8293c9'], false, 2, SIGBUS],
    [['no-16ce101db85d'], false, 1, SIGBUS],
    [['no-migrate-to-ram-ret'], true, 2, 0],
    [['hmm-v14'], true, 2, SIGBUS],
  ] as [PatchId[], boolean, number, number][]) {
    run(patches, function* ({ page, seen, fault }) {
      t.equal(yield* fault(0), ret, patches.join());
      t.same(seen, [[page, locked, refcount, MAP]], patches.join());
    });
  }
  t.end();
});

t.test('before b570f37a2ce4 a fault on a locked page comes back at once, and a remote one polls', (t) => {
  run(['no-b570f37a2ce4'], function* ({ m, page, seen, fault }) {
    t.ok(trylock_page(m, page));
    for (const flags of [0, REMOTE]) {
      t.equal(yield* fault(flags), 0);
      t.equal(m.current.polls, flags === REMOTE);
    }
    m.current.polls = false;
    t.same(seen, [], 'the driver hears nothing');
    folio_unlock(m, page);
  });
  t.end();
});
