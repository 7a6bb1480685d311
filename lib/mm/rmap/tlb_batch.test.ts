// SPDX-License-Identifier: GPL-2.0-only

import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { pte_pfn } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { switch_mm_irqs_off, tlb_lookup } from '../../arch/x86/mm/tlb.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { walk_address } from '../../inspect.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { folio_lock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_put, lru_add_drain } from '../folio.ts';
import { sys_madvise } from '../madvise/madvise.ts';
import type { mm_struct } from '../mm_types.ts';
import { sys_mprotect } from '../mprotect.ts';
import { folio_get, pfn_to_page } from '../page.ts';
import { try_to_unmap_flush, TTU_BATCH_FLUSH } from './tlb_batch.ts';
import { try_to_unmap } from './walk.ts';
import t from 'tap';

const PAGE = 4096;
const MAP = 0x200000000;
const [MADV_FREE, MADV_PAGEOUT, RO] = [8, 21, 1];

/** Runs a task on another CPU of its machine. */
function move(m: Machine, cpu: number): void {
  m.current.cpu = cpu;
  switch_mm_irqs_off(m, m.current.mm as mm_struct, cpu);
}

/** Returns for each of two CPUs whether its TLB has the page for reading. */
function cached(m: Machine, mm: mm_struct, addr: number): boolean[] {
  const was = m.current.cpu;
  const found = [0, 1].map((cpu) => {
    m.current.cpu = cpu;
    return tlb_lookup(m, mm, addr / PAGE, false) >= 0;
  });
  m.current.cpu = was;
  return found;
}

/** Maps two pages, the first lazily freed, reads them on CPU 0 and with `remote` on CPU 1 first. Returns its folio. */
function* lazily_freed(m: Machine, mm: mm_struct, remote: boolean): Gen<number> {
  yield* sys_mmap(m, MAP, 2 * PAGE, 3, 0x32, -1, 0);
  for (const addr of [MAP, MAP + PAGE]) yield* user_store32(m, addr, 1);
  lru_add_drain(m);
  yield* sys_madvise(m, MAP, PAGE, MADV_FREE);
  lru_add_drain(m);
  for (const cpu of remote ? [1, 0] : [0]) {
    move(m, cpu);
    for (const addr of [MAP, MAP + PAGE]) yield* user_load32(m, addr);
  }
  t.same(cached(m, mm, MAP), [true, remote]);
  return pfn_to_page(m, pte_pfn(walk_address(mm, MAP).entry));
}

function* unmap_deferred(m: Machine, folio: number): Gen<void> {
  folio_get(m, folio);
  yield* folio_lock(m, folio);
  yield* try_to_unmap(m, folio, TTU_BATCH_FLUSH);
  folio_unlock(m, folio);
}

t.test('a flush is put off if another CPU may have the translation, until try_to_unmap_flush()', (t) => {
  run_clean(t, small_machine({ cpus: 2 }), function* (m, mm) {
    const folio = yield* lazily_freed(m, mm, true);
    const flushes = m.tlb_flushes;
    yield* unmap_deferred(m, folio);
    t.equal(walk_address(mm, MAP).entry, 0);
    t.same(cached(m, mm, MAP), [true, true], 'the pte is gone and the CPUs still have it');
    t.equal(m.tlb_flushes, flushes);
    yield* try_to_unmap_flush(m);
    t.same(cached(m, mm, MAP), [false, false]);
    t.equal(m.tlb_flushes, flushes + 1);
    yield* try_to_unmap_flush(m);
    t.equal(m.tlb_flushes, flushes + 1, 'once');
    folio_put(m, folio);
  });
  t.end();
});

t.test('with only this CPU to flush it is flushed at once', (t) => {
  run_clean(t, small_machine({ cpus: 2 }), function* (m, mm) {
    const folio = yield* lazily_freed(m, mm, false);
    yield* unmap_deferred(m, folio);
    t.same(cached(m, mm, MAP), [false, false]);
    t.notOk(m.current.tlb_ubc.flush_required);
    folio_put(m, folio);
  });
  t.end();
});

t.test('who changes ptes does the flushes that another has put off, once', (t) => {
  run_clean(t, small_machine({ cpus: 2 }), function* (m, mm) {
    const folio = yield* lazily_freed(m, mm, true);
    yield* unmap_deferred(m, folio);
    const flushes = m.tlb_flushes;
    t.equal(yield* sys_mprotect(m, MAP, 2 * PAGE, RO), 0);
    t.same(cached(m, mm, MAP), [false, false]);
    t.same(cached(m, mm, MAP + PAGE), [false, false]);
    t.equal(m.tlb_flushes, flushes + 2, 'one of them for the flush that was put off');
    t.equal(yield* sys_mprotect(m, MAP, 2 * PAGE, RO | 2), 0);
    yield* try_to_unmap_flush(m);
    folio_put(m, folio);
  });
  t.end();
});

t.test('a CPU that comes back to the mm does the flush, one that stays with it does not', (t) => {
  run_clean(t, small_machine({ cpus: 2 }), function* (m, mm) {
    const folio = yield* lazily_freed(m, mm, true);
    yield* unmap_deferred(m, folio);
    move(m, 1);
    t.same(cached(m, mm, MAP), [true, true]);
    m.cpus[1].loaded_mm = null;
    move(m, 1);
    t.same(cached(m, mm, MAP), [true, false]);
    move(m, 0);
    yield* try_to_unmap_flush(m);
    t.same(cached(m, mm, MAP), [false, false]);
    folio_put(m, folio);
  });
  t.end();
});

t.test('reclaim flushes before it frees', (t) => {
  run_clean(t, small_machine({ cpus: 2 }), function* (m, mm) {
    const folio = yield* lazily_freed(m, mm, true);
    t.equal(yield* sys_madvise(m, MAP, 2 * PAGE, MADV_PAGEOUT), 0);
    t.equal(m.page._refcount[folio], 0);
    t.same(cached(m, mm, MAP), [false, false]);
    t.same(cached(m, mm, MAP + PAGE), [false, false], 'a flush that was put off is one of everything');
    t.equal(yield* user_load32(m, MAP), 0);
  });
  t.end();
});
