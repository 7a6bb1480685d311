// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from './arch/x86/kernel/sys_x86_64.ts';
import { pte_pfn } from './arch/x86/mm/pgtable/pgtable.ts';
import { user_load8, user_store32 } from './arch/x86/mm/uaccess.ts';
import type { Machine } from './machine.ts';
import { describe_entry, describe_page, for_each_leaf, inspect_range, mm_of, vma_at, walk_address } from './inspect.ts';
import type { Gen } from './kernel/gen.ts';
import { run_clean, small_machine } from './kernel/testing.ts';
import { lru_add_drain_all } from './mm/folio.ts';
import { sys_madvise } from './mm/madvise/madvise.ts';
import type { mm_struct } from './mm/mm_types.ts';
import { sys_mprotect } from './mm/mprotect.ts';
import { pfn_to_page } from './mm/page.ts';

const MIB = 1024 * 1024;
const PAGE = 4096;
const AT = 0x200000000;
const HUGE = 0x210000000;
const [RW, READ, PRIVATE_FIXED_ANON, GUARD_INSTALL, STACK_START] = [3, 1, 0x32, 102, 0x7ffffffde000];

function in_process(body: (m: Machine, mm: mm_struct) => Gen<void>): void {
  run_clean(t, small_machine({ thp: 'always' }), body);
}

t.test('a walk ends at the level of the entry, or where no table is', (t) => {
  in_process(function* (m, mm) {
    t.match(walk_address(mm, AT), { level: 'none', entry: 0, size: 2 ** 30 }, 'no pmd table yet');
    yield* sys_mmap(m, AT, 2 * PAGE, RW, PRIVATE_FIXED_ANON, -1, 0);
    yield* sys_mmap(m, HUGE, 2 * MIB, RW, PRIVATE_FIXED_ANON, -1, 0);
    yield* user_store32(m, AT + PAGE, 1);
    yield* user_store32(m, HUGE + 5 * PAGE, 1);
    t.match(walk_address(mm, AT), { level: 'pte', entry: 0, index: 0, size: 4096 });
    t.match(walk_address(mm, AT + PAGE + 123), { level: 'pte', index: 1, size: 4096 });
    t.match(
      walk_address(mm, AT + 2 * MIB),
      { level: 'none', index: 1, size: 2 * MIB },
      'a pmd table, but no page table',
    );
    const huge = walk_address(mm, HUGE + 7 * PAGE);
    t.match(huge, { level: 'pmd', index: (HUGE / (2 * MIB)) % 512, size: 2 * MIB });
    t.equal(huge.entry, walk_address(mm, HUGE).entry);
    const seen: [number, number][] = [];
    for_each_leaf(mm, (addr, entry, size, table, index) => {
      seen.push([addr, size]);
      t.equal(table.entry[index], entry);
    });
    t.same(
      seen.filter(([addr]) => addr < STACK_START),
      [
        [AT + PAGE, PAGE],
        [HUGE, 2 * MIB],
      ],
      'in order, without the empty ones',
    );
  });
  t.end();
});

t.test('processes and vmas are found by number and address', (t) => {
  in_process(function* (m, mm) {
    yield* sys_mmap(m, AT, 2 * PAGE, RW, PRIVATE_FIXED_ANON, -1, 0);
    t.equal(mm_of(m, m.current.pid), mm);
    t.equal(mm_of(m, 999), null);
    t.match(vma_at(mm, AT), { vm_start: AT, vm_end: AT + 2 * PAGE });
    t.equal(vma_at(mm, AT + 2 * PAGE - 1), vma_at(mm, AT));
    t.equal(vma_at(mm, AT + 2 * PAGE), null, 'the end is outside');
    t.equal(vma_at(mm, AT - 1), null);
    t.same(inspect_range(m, 999, AT, 1), ['process 999 has no address space']);
  });
  t.end();
});

t.test('a range in words: equal neighbours in one line, each page with what is known of it', (t) => {
  in_process(function* (m, mm) {
    const pid = m.current.pid;
    yield* sys_mmap(m, AT, 8 * PAGE, RW, PRIVATE_FIXED_ANON, -1, 0);
    yield* user_store32(m, AT, 1);
    yield* user_load8(m, AT + 3 * PAGE);
    yield* sys_mprotect(m, AT, PAGE, READ);
    yield* sys_madvise(m, AT + 4 * PAGE, 2 * PAGE, GUARD_INSTALL);
    yield* lru_add_drain_all(m);
    const pfn = pte_pfn(walk_address(mm, AT).entry);
    const page = pfn_to_page(m, pfn);
    const first = `pfn 0x${pfn.toString(16)} ref 1 map 1 [uptodate lru swapbacked anon_exclusive]`;
    t.equal(describe_page(m, page), first);
    const lines = inspect_range(m, pid, AT - PAGE, 11);
    t.same(
      lines.filter((l) => !l.includes('special')),
      [
        '0x1fffff000: no vma',
        `0x200000000: pte read dirty young: ${first}`,
        '0x200001000 (2 pages): pte none',
        '0x200004000 (2 pages): pte marker 4',
        '0x200006000 (2 pages): pte none',
        '0x200008000 (2 pages): no vma',
      ],
    );
    t.match(lines[3], /^0x200003000: pte read young special: pfn 0x[0-9a-f]+ /, 'the zero page');
    t.equal(describe_entry(m, 0), 'none');
  });
  t.end();
});

t.test('a page of a huge one names its folio', (t) => {
  in_process(function* (m, mm) {
    yield* sys_mmap(m, HUGE, 2 * MIB, RW, PRIVATE_FIXED_ANON, -1, 0);
    yield* user_store32(m, HUGE, 1);
    yield* lru_add_drain_all(m);
    const pfn = pte_pfn(walk_address(mm, HUGE).entry);
    t.equal(
      describe_page(m, pfn_to_page(m, pfn + 3)),
      `pfn 0x${(pfn + 3).toString(16)} of folio 0x${pfn.toString(16)} (512 pages, entire_mapcount 1, large_mapcount 1) ref 1 map 0 []`,
    );
    t.match(
      inspect_range(m, m.current.pid, HUGE, 512),
      [/^0x210000000 \(512 pages\): pmd write dirty young: pfn /],
      'one entry, one line',
    );
  });
  t.end();
});
