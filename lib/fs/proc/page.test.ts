// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_load32, user_load64, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { lru_add_drain } from '../../mm/folio.ts';
import { map_anon, page_at, run_thp } from '../../mm/testing.ts';
import { do_sys_open, ksys_close } from '../open.ts';
import { ksys_pread64 } from '../read_write.ts';
import { stable_page_flags } from './page.ts';

const [PAGE, HUGE, MAP] = [4096, 2 * 1024 * 1024, 0x200000000];
// Numbers of bits in /proc/kpageflags.
const KPF = {
  uptodate: 3,
  lru: 5,
  buddy: 10,
  mmap: 11,
  anon: 12,
  swapbacked: 14,
  head: 15,
  tail: 16,
  nopage: 20,
  thp: 22,
  zero: 24,
  pgtable: 26,
};

function names(flags: number): string[] {
  return Object.entries(KPF)
    .filter(([, bit]) => Math.floor(flags / 2 ** bit) % 2 === 1)
    .map(([name]) => name);
}

t.test('an anonymous page, the zero page, a page table, a free page and no page', (t) => {
  run_clean(t, small_machine(), function* (m, mm) {
    yield* map_anon(m, MAP, 2);
    yield* user_store32(m, MAP, 1);
    yield* user_load32(m, MAP + PAGE);
    lru_add_drain(m);
    t.same(names(stable_page_flags(m, page_at(m, mm, MAP))), ['uptodate', 'lru', 'mmap', 'anon', 'swapbacked']);
    t.ok(names(stable_page_flags(m, page_at(m, mm, MAP + PAGE))).includes('zero'));
    t.same(names(stable_page_flags(m, mm.pgd.page)), ['pgtable']);
    t.same(names(stable_page_flags(m, 0)), ['nopage']);
  });
  t.end();
});

t.test('head and tail of a huge page', (t) => {
  run_thp(t, MAP, HUGE, function* (m, mm) {
    yield* user_store32(m, MAP, 1);
    const folio = page_at(m, mm, MAP);
    const [head, tail] = [folio, folio + 7].map((page) => names(stable_page_flags(m, page)));
    t.ok(head.includes('thp') && head.includes('head') && !head.includes('tail'));
    t.ok(tail.includes('thp') && tail.includes('tail') && !tail.includes('head'));
  });
  t.end();
});

t.test('/proc/kpageflags and /proc/kpagecount have an entry a pfn', (t) => {
  run_clean(t, small_machine(), function* (m, mm) {
    yield* map_anon(m, MAP, 2);
    yield* user_store32(m, MAP, 1);
    const pfn = m.page.page_to_pfn(page_at(m, mm, MAP));
    const [count, flags] = [
      yield* do_sys_open(m, '/proc/kpagecount', 0, 0),
      yield* do_sys_open(m, '/proc/kpageflags', 0, 0),
    ];
    t.equal(yield* ksys_pread64(m, count, MAP + 8, 8, pfn * 8), 8);
    t.equal(yield* user_load64(m, MAP + 8), 1);
    t.equal(yield* ksys_pread64(m, flags, MAP + 16, 16, pfn * 8), 16);
    t.equal(yield* user_load64(m, MAP + 16), stable_page_flags(m, page_at(m, mm, MAP)));
    t.equal(yield* ksys_pread64(m, flags, MAP, 7, 0), -22);
    t.equal(yield* ksys_pread64(m, flags, MAP, 8, 2 ** 40), 0, 'beyond all memory');
    t.equal(yield* ksys_pread64(m, flags, MAP + PAGE * 2, 8, 0), -14);
    for (const fd of [count, flags]) yield* ksys_close(m, fd);
  });
  t.end();
});
