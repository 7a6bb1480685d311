// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32 } from '../arch/x86/mm/uaccess.ts';
import { audit } from '../audit.ts';
import { boot } from '../boot.ts';
import type { Machine } from '../machine.ts';
import { start_process } from '../kernel/exec.ts';
import type { Gen } from '../kernel/gen.ts';
import type { mm_struct } from './mm_types.ts';
import { find_vma } from './mmap/find_vma.ts';
import { sys_munmap } from './mmap/mmap.ts';
import { mmap_read_lock, mmap_read_unlock, mmap_write_lock, mmap_write_unlock } from './mmap_lock.ts';
import {
  type mm_walk_ops,
  walk_page_range,
  walk_page_range_mm_unsafe,
  walk_page_range_vma,
  walk_page_vma,
} from './pagewalk.ts';

const [PAGE, HUGE, BASE] = [4096, 2 * 1024 * 1024, 0x200000000];
const EINVAL = 22;
const [RW, PRIVATE_ANON_FIXED, HUGETLB] = [3, 0x32, 0x40000];
const [RDLOCK, WRLOCK] = [0, 1];
const [CONTINUE, AGAIN] = [1, 2];

/** Runs the body as a process with the given mappings, in pages from BASE, and the mmap lock held for writing. */
function walks(
  mappings: [number, number][],
  body: (m: Machine, mm: mm_struct) => Gen<void>,
  touch: number[] = [],
  thp: 'always' | 'never' = 'never',
): void {
  const m = boot({ mem: 64 * 1024 * 1024, thp, nr_hugepages: 1 });
  let done = false;
  start_process(m, 'test', function* () {
    for (const [first, n] of mappings) yield* sys_mmap(m, BASE + first * PAGE, n * PAGE, RW, PRIVATE_ANON_FIXED, -1, 0);
    for (const page of touch) yield* user_store32(m, BASE + page * PAGE, 1);
    const mm = m.current.mm as mm_struct;
    yield* mmap_write_lock(m, mm);
    yield* body(m, mm);
    mmap_write_unlock(m, mm);
    done = true;
  });
  m.sched.run(() => m.sched.tasks.length === 0);
  t.ok(done);
  t.same(m.log.lines, []);
  t.same(audit(m), []);
}

const at = (addr: number): number => (addr - BASE) / PAGE;

t.test('entries of a table come in order, the end cuts the last, and a callback ends the walk with its value', (t) => {
  walks(
    [[0, 1024]],
    function* (m, mm) {
      const seen: number[] = [];
      const ops: mm_walk_ops<{ stop: number }> = {
        *pte_entry(_m, pt, i, addr, next, walk) {
          if (pt.entry[i] !== 0) seen.push(at(addr));
          else if (next !== addr + PAGE) t.fail(`an entry of ${next - addr} bytes`);
          return at(addr) === walk.private.stop ? 77 : 0;
        },
        walk_lock: RDLOCK,
      };
      t.equal(yield* walk_page_range(m, mm, BASE, BASE + 700 * PAGE, ops, { stop: -1 }), 0);
      t.same(seen, [0, 3, 511, 512, 699]);
      seen.length = 0;
      t.equal(yield* walk_page_range(m, mm, BASE + PAGE, BASE + 1024 * PAGE, ops, { stop: 512 }), 77);
      t.same(seen, [3, 511, 512]);
      t.equal(yield* walk_page_range(m, mm, BASE, BASE, ops, { stop: -1 }), -EINVAL);
    },
    [0, 3, 511, 512, 699, 700],
  );
  t.end();
});

t.test('pmd_entry may keep the walk from the ptes or look again', (t) => {
  walks(
    [[0, 1024]],
    function* (m, mm) {
      const calls: string[] = [];
      let again = true;
      yield* walk_page_range(
        m,
        mm,
        BASE + 510 * PAGE,
        BASE + 514 * PAGE,
        {
          *pmd_entry(_m, _pmdt, _pi, addr, next, walk) {
            calls.push(`pmd ${at(addr)}-${at(next)}`);
            if (at(addr) === 510) walk.action = again ? AGAIN : CONTINUE;
            again = false;
            return 0;
          },
          *pte_entry(_m, _pt, _i, addr) {
            calls.push(`pte ${at(addr)}`);
            return 0;
          },
          walk_lock: RDLOCK,
        },
        null,
      );
      t.same(calls, ['pmd 510-512', 'pmd 510-512', 'pmd 512-514', 'pte 512', 'pte 513']);
    },
    [510, 512],
  );
  t.end();
});

t.test('a huge page is split for ptes, and left whole for a pmd callback', (t) => {
  walks(
    [[0, 512]],
    function* (m, mm) {
      let ptes = 0;
      yield* walk_page_range(
        m,
        mm,
        BASE,
        BASE + HUGE,
        {
          *pmd_entry() {
            return 0;
          },
          walk_lock: RDLOCK,
        },
        null,
      );
      t.equal(m.thp.vm_events.get('THP_SPLIT_PMD') ?? 0, 0);
      yield* walk_page_range(
        m,
        mm,
        BASE,
        BASE + 2 * PAGE,
        {
          *pte_entry(_m, pt, i) {
            return (ptes += pt.entry[i] === 0 ? 0 : 1) * 0;
          },
          walk_lock: RDLOCK,
        },
        null,
      );
      t.equal(m.thp.vm_events.get('THP_SPLIT_PMD'), 1);
      t.equal(ptes, 2);
    },
    [5],
    'always',
  );
  t.end();
});

t.test(
  'each vma is announced and dismissed, also when the walk fails in it, and one that does not pass its test is skipped',
  (t) => {
    walks(
      [
        [0, 4],
        [8, 4],
        [16, 4],
      ],
      function* (m, mm) {
        const calls: string[] = [];
        const ops: mm_walk_ops<number> = {
          *test_walk(_m, start, next, walk) {
            return at(start) === 8 ? 1 : at(next) > 18 && walk.private < 0 ? -5 : 0;
          },
          *pre_vma(_m, start, end) {
            calls.push(`pre ${at(start)}-${at(end)}`);
            return 0;
          },
          post_vma() {
            calls.push('post');
          },
          *pte_entry(_m, _pt, _i, addr, _next, walk) {
            return at(addr) === walk.private ? 9 : 0;
          },
          *pte_hole(_m, addr, next, depth, walk) {
            if (walk.vma === null) calls.push(`gap ${at(addr)}-${at(next)} ${depth}`);
            return 0;
          },
          walk_lock: WRLOCK,
        };
        t.equal(yield* walk_page_range(m, mm, BASE + 2 * PAGE, BASE + 18 * PAGE, ops, 100), 0);
        t.same(calls, ['pre 2-4', 'post', 'gap 4-8 -1', 'gap 12-16 -1', 'pre 16-18', 'post']);
        calls.length = 0;
        t.equal(yield* walk_page_range(m, mm, BASE, BASE + 20 * PAGE, ops, 1), 9);
        t.same(calls, ['pre 0-4', 'post']);
        t.equal(yield* walk_page_range(m, mm, BASE + 16 * PAGE, BASE + 20 * PAGE, ops, -1), -5);
        calls.length = 0;
        const vma = find_vma(mm, BASE + 8 * PAGE);
        if (vma === null) throw new Error('no vma');
        t.equal(yield* walk_page_vma(m, vma, ops, 100), 0);
        t.same(calls, ['pre 8-12', 'post'], 'a walk over one vma is not tested');
        t.equal(yield* walk_page_range_vma(m, vma, BASE + 7 * PAGE, BASE + 9 * PAGE, ops, 0), -EINVAL);
        t.equal(yield* walk_page_range_vma(m, vma, BASE + 8 * PAGE, BASE + 13 * PAGE, ops, 0), -EINVAL);
      },
      [0],
    );
    t.end();
  },
);

t.test('entries are installed where there are none, with the tables for them, and only by core code', (t) => {
  walks(
    [[0, 1024]],
    function* (m, mm) {
      const bytes = mm.pgtables_bytes;
      const zero = m.page.page_to_pfn(m.zero_page) * 2 ** 20 + 1 + 4 + 128;
      const [installed, present]: number[][] = [[], []];
      const ops: mm_walk_ops<null> = {
        install_pte(_m, addr, _next, ptep) {
          installed.push(at(addr));
          ptep.pte = zero;
          return installed.length === 3 ? -12 : 0;
        },
        *pte_entry(_m, _pt, _i, addr) {
          present.push(at(addr));
          return 0;
        },
        walk_lock: RDLOCK,
      };
      t.equal(yield* walk_page_range(m, mm, BASE, BASE + PAGE, ops, null), -EINVAL);
      t.equal(yield* walk_page_range_mm_unsafe(m, mm, BASE + 510 * PAGE, BASE + 600 * PAGE, ops, null), -12);
      t.same([installed, present], [[510, 512, 513], [511]]);
      t.equal(mm.pgtables_bytes, bytes + PAGE);
      mmap_write_unlock(m, mm);
      t.equal(yield* user_load32(m, BASE + 512 * PAGE), 0);
      yield* mmap_write_lock(m, mm);
    },
    [511],
  );
  t.end();
});

t.test('a hugetlb vma is walked by huge pages', (t) => {
  walks([], function* (m, mm) {
    mmap_write_unlock(m, mm);
    yield* sys_mmap(m, BASE, 2 * HUGE, RW, PRIVATE_ANON_FIXED | HUGETLB | 0x4000, -1, 0);
    yield* user_store32(m, BASE + HUGE, 1);
    yield* mmap_read_lock(m, mm);
    const calls: string[] = [];
    t.equal(
      yield* walk_page_range(
        m,
        mm,
        BASE + PAGE,
        BASE + HUGE + 2 * PAGE,
        {
          *hugetlb_entry(_m, pt, i, size, addr, next) {
            calls.push(`entry ${at(addr)}-${at(next)} ${size} ${pt.entry[i] !== 0}`);
            return 0;
          },
          *pte_hole(_m, addr, next, depth) {
            calls.push(`hole ${at(addr)}-${at(next)} ${depth}`);
            return 0;
          },
          walk_lock: RDLOCK,
        },
        null,
      ),
      0,
    );
    t.same(calls, [`entry 1-512 ${HUGE} false`, `entry 512-514 ${HUGE} true`]);
    mmap_read_unlock(m, mm);
    yield* sys_munmap(m, BASE, 2 * HUGE);
    yield* mmap_write_lock(m, mm);
  });
  t.end();
});
