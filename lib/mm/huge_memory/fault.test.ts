// SPDX-License-Identifier: GPL-2.0-only

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
import { UserSignal } from '../../kernel/signal.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { folio_put } from '../folio.ts';
import { type mm_struct, type vm_area_struct, vm_fault } from '../mm_types.ts';
import { PageAnonExclusive } from '../page-flags.ts';
import { folio_alloc, GFP_KERNEL } from '../page_alloc.ts';
import { run_thp } from '../testing.ts';
import { do_huge_pmd_numa_page, touch_pmd } from './fault.ts';
import t from 'tap';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const USE_ZERO_PAGE = 8;
const ANON_PAGES = 1;
const MMF_UNSTABLE = 8;
const SIGBUS = 7;

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): void {
  run_thp(t, MAP, 2 * HUGE, body);
}

const entry = (mm: mm_struct, addr = MAP): number => walk_address(mm, addr).entry;
const level = (mm: mm_struct, addr = MAP): string => walk_address(mm, addr).level;

t.test('a first write allocates and counts; a first read does so only without the huge zero folio', async (t) => {
  run(function* (m, mm) {
    const rss = mm.rss_stat[ANON_PAGES];
    yield* user_load32(m, MAP);
    t.same([mm.rss_stat[ANON_PAGES], m.thp.vm_events.get('THP_FAULT_ALLOC')], [rss, undefined]);
    yield* user_store32(m, MAP, 1);
    t.same([mm.rss_stat[ANON_PAGES], m.thp.vm_events.get('THP_FAULT_ALLOC'), level(mm)], [rss + 512, 1, 'pmd']);
    m.thp.set(USE_ZERO_PAGE, false);
    yield* user_load32(m, MAP + HUGE);
    t.equal(m.thp.vm_events.get('THP_FAULT_ALLOC'), 2);
    t.ok(pte_write(entry(mm, MAP + HUGE)), 'a folio of its own is writable at once');
  });
});

t.test('without 2 MiB of free memory in one piece a small page does', async (t) => {
  run(function* (m, mm) {
    yield* user_load32(m, MAP);
    const taken: number[] = [];
    for (let f = folio_alloc(m, GFP_KERNEL, 9); f !== 0; f = folio_alloc(m, GFP_KERNEL, 9)) taken.push(f);
    yield* user_store32(m, MAP, 1);
    yield* user_store32(m, MAP + HUGE, 1);
    t.same([level(mm), level(mm, MAP + HUGE)], ['pte', 'pte']);
    t.equal(m.thp.vm_events.get('THP_FAULT_FALLBACK'), 2);
    t.equal(entry(mm, MAP + HUGE + PAGE), 0);
    t.equal(pte_pfn(entry(mm, MAP + PAGE)), m.page.page_to_pfn(m.zero_page), 'the huge zero pmd was split');
    for (const f of taken) folio_put(m, f);
  });
});

t.test(
  'a writer splits its own pmd while a child shares the folio, and takes the folio over once it is alone',
  async (t) => {
    run(function* (m, mm) {
      yield* user_store32(m, MAP, 1);
      yield* user_store32(m, MAP + HUGE, 1);
      const [first, second] = [pte_pfn(entry(mm)), pte_pfn(entry(mm, MAP + HUGE))];
      let done = false;
      const pid = yield* kernel_clone(m, 0, function* () {
        while (!done) yield* sched_yield(m);
        t.equal(yield* user_load32(m, MAP), 1);
      });
      yield* user_store32(m, MAP, 2);
      t.equal(level(mm), 'pte');
      t.not(pte_pfn(entry(mm)), first);
      t.equal(pte_pfn(entry(mm, MAP + PAGE)), first + 1);
      done = true;
      yield* kernel_wait4(m, pid, 0);
      t.notOk(PageAnonExclusive(m, m.page.pfn_to_page(second)));
      yield* user_store32(m, MAP + HUGE + PAGE, 2);
      t.same([level(mm, MAP + HUGE), pte_pfn(entry(mm, MAP + HUGE))], ['pmd', second]);
      t.ok(PageAnonExclusive(m, m.page.pfn_to_page(second)) && pte_write(entry(mm, MAP + HUGE)));
    });
  },
);

t.test('touching a pmd makes it young and dirty for a write; for a read the CPU itself does', async (t) => {
  run(function* (m, mm) {
    yield* user_store32(m, MAP, 1);
    const { table, index } = walk_address(mm, MAP);
    const pmdt = table as ptdesc;
    const vma = vma_at(mm, MAP) as vm_area_struct;
    pmdt.entry[index] = pte_mkold(pte_mkclean(pmdt.entry[index]));
    t.ok(touch_pmd(m, vma, MAP + 5 * PAGE, pmdt, index, false));
    t.same([pte_young(entry(mm)), pte_dirty(entry(mm))], [false, false]);
    t.ok(touch_pmd(m, vma, MAP, pmdt, index, true));
    t.same([pte_young(entry(mm)), pte_dirty(entry(mm))], [true, true]);
    for (const write of [false, true]) t.notOk(touch_pmd(m, vma, MAP, pmdt, index, write), 'nothing to change');
    t.throws(() => do_huge_pmd_numa_page(m, new vm_fault(vma, MAP, 0)).next(), Unmodelled);
  });
});

t.test('an mm whose memory was reaped gets SIGBUS and no page', async (t) => {
  run(function* (m, mm) {
    yield* user_load32(m, MAP);
    const free = m.zone.nr_free;
    mm.flags |= MMF_UNSTABLE;
    for (const access of [user_store32(m, MAP, 1), user_load32(m, MAP + HUGE), user_store32(m, MAP + HUGE, 1)]) {
      let sig = 0;
      try {
        yield* access as Gen<unknown>;
      } catch (e) {
        if (e instanceof UserSignal) sig = e.sig;
      }
      t.equal(sig, SIGBUS);
    }
    mm.flags &= ~MMF_UNSTABLE;
    t.equal(m.zone.nr_free, free);
  });
});
