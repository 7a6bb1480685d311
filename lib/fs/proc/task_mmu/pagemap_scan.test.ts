// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../../arch/x86/kernel/sys_x86_64.ts';
import { copy_from_user, copy_to_user, user_load32, user_store32 } from '../../../arch/x86/mm/uaccess.ts';
import type { Machine, MachineConfig } from '../../../machine.ts';
import type { Gen } from '../../../kernel/gen.ts';
import { run_clean, small_machine } from '../../../kernel/testing.ts';
import { sys_madvise } from '../../../mm/madvise/madvise.ts';
import { sys_userfaultfd } from '../../../mm/userfaultfd/userfaultfd.ts';
import { sys_ioctl } from '../../ioctl.ts';
import { do_sys_open } from '../../open.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const ARG = 0x300000000;
const VEC = ARG + PAGE;
const RW = 3;
const [SHARED, PRIVATE, FIXED, ANON, HUGETLB] = [1, 2, 0x10, 0x20, 0x40000];
const GUARD_INSTALL = 102;
const PAGEMAP_SCAN = 0xc0606610;
const [WPALLOWED, WRITTEN, FILE, PRESENT, SWAPPED, PFNZERO, PMD, GUARD] = [1, 2, 4, 8, 16, 32, 64, 256];
const ALL = 0x3ff;
const [WP_MATCHING, CHECK_WPASYNC] = [1, 2];
const [EPERM, EFAULT, EINVAL] = [-1, -14, -22];

interface Scan {
  size?: number;
  flags?: number;
  start?: number;
  end?: number;
  vec?: number;
  len?: number;
  max?: number;
  inverted?: number;
  mask?: number;
  anyof?: number;
  ret?: number;
}

/** Scans, and returns the result, where the walk ended, and the regions in pages from MAP: first, end, categories. */
function* scan(m: Machine, s: Scan): Gen<{ ret: number; end: number; regions: number[][] }> {
  const fd = yield* do_sys_open(m, '/proc/self/pagemap', 0, 0);
  const words = [
    s.size ?? 96,
    s.flags ?? 0,
    s.start ?? MAP,
    s.end ?? MAP + 8 * PAGE,
    0,
    s.vec ?? VEC,
    s.len ?? 64,
    s.max ?? 0,
    s.inverted ?? 0,
    s.mask ?? 0,
    s.anyof ?? 0,
    s.ret ?? ALL,
  ];
  const arg = new Uint8Array(new BigUint64Array(words.map(BigInt)).buffer);
  t.equal(yield* copy_to_user(m, ARG, arg, arg.length), 0);
  const ret = yield* sys_ioctl(m, fd, PAGEMAP_SCAN, ARG);
  const out = new Uint8Array(96 + Math.max(ret, 0) * 24);
  yield* copy_from_user(m, out.subarray(0, 96), ARG, 96);
  yield* copy_from_user(m, out.subarray(96), VEC, out.length - 96);
  const numbers = [...new BigUint64Array(out.buffer)].map(Number);
  const regions: number[][] = [];
  for (let k = 12; k < numbers.length; k += 3)
    regions.push([(numbers[k] - MAP) / PAGE, (numbers[k + 1] - MAP) / PAGE, numbers[k + 2]]);
  return { ret, end: (numbers[4] - MAP) / PAGE, regions };
}

function run(body: (m: Machine) => Gen<void>, config: MachineConfig = {}): void {
  run_clean(t, small_machine({ nr_hugepages: 2, ...config }), function* (m) {
    yield* sys_mmap(m, ARG, 16 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* body(m);
  });
}

/** Registers eight pages at MAP for write protection that the kernel resolves itself. */
function* register_wp_async(m: Machine, len: number): Gen<number> {
  const uffd = yield* sys_userfaultfd(m, 0);
  const put = function* (words: readonly number[]): Gen<void> {
    const bytes = new Uint8Array(new BigUint64Array(words.map(BigInt)).buffer);
    yield* copy_to_user(m, ARG, bytes, bytes.length);
  };
  yield* put([0xaa, 1 << 15, 0]);
  t.equal(yield* sys_ioctl(m, uffd, 0xc018aa3f, ARG), 0, 'UFFDIO_API');
  yield* put([MAP, len, 2, 0]);
  t.equal(yield* sys_ioctl(m, uffd, 0xc020aa00, ARG), 0, 'UFFDIO_REGISTER');
  return uffd;
}

t.test('what pages are: present, of a file, zero, huge, a guard', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, 4 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* sys_mmap(m, MAP + 4 * PAGE, 2 * PAGE, RW, SHARED | ANON | FIXED, -1, 0);
    yield* user_store32(m, MAP, 1);
    yield* user_load32(m, MAP + 2 * PAGE);
    yield* sys_madvise(m, MAP + 3 * PAGE, PAGE, GUARD_INSTALL);
    yield* user_store32(m, MAP + 4 * PAGE, 1);
    const all = [
      [0, 1, PRESENT],
      [1, 2, 0],
      [2, 3, PRESENT | PFNZERO],
      [3, 4, SWAPPED | GUARD],
      [4, 5, PRESENT | FILE],
      [5, 6, 0],
    ];
    t.same(yield* scan(m, {}), { ret: 6, end: 8, regions: all });
    t.same((yield* scan(m, { mask: PRESENT })).regions, [all[0], all[2], all[4]]);
    t.same((yield* scan(m, { mask: PRESENT, inverted: PFNZERO, anyof: PFNZERO })).regions, [all[0], all[4]]);
    t.same((yield* scan(m, { anyof: FILE | GUARD, ret: PRESENT })).regions, [
      [3, 4, 0],
      [4, 5, PRESENT],
    ]);
    t.same((yield* scan(m, { mask: PRESENT, ret: PRESENT, max: 2 })).regions, [
      [0, 1, PRESENT],
      [2, 3, PRESENT],
    ]);
    t.same(yield* scan(m, { mask: PRESENT, ret: PRESENT, len: 1 }), { ret: 1, end: 2, regions: [[0, 1, PRESENT]] });
  });
  run(
    function* (m) {
      yield* sys_mmap(m, MAP, HUGE, RW, PRIVATE | ANON | FIXED, -1, 0);
      yield* user_store32(m, MAP, 1);
      t.same((yield* scan(m, { end: MAP + HUGE })).regions, [[0, 512, PRESENT | PMD]]);
      yield* sys_mmap(m, MAP + HUGE, HUGE, RW, PRIVATE | ANON | FIXED | HUGETLB, -1, 0);
      yield* sys_mmap(m, MAP + 2 * HUGE, HUGE, RW, SHARED | ANON | FIXED | HUGETLB, -1, 0);
      yield* user_store32(m, MAP + HUGE, 1);
      yield* user_store32(m, MAP + 2 * HUGE, 1);
      t.same((yield* scan(m, { start: MAP + HUGE, end: MAP + 3 * HUGE })).regions, [
        [512, 1024, PRESENT | PMD],
        [1024, 1536, PRESENT | PMD | FILE],
      ]);
    },
    { thp: 'always' },
  );
  t.end();
});

t.test('arguments that are refused', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    const ret = function* (s: Scan): Gen<number> {
      return (yield* scan(m, s)).ret;
    };
    t.equal(yield* ret({ size: 88 }), EINVAL);
    t.equal(yield* ret({ flags: 4 }), EINVAL);
    t.equal(yield* ret({ mask: 1 << 10 }), EINVAL);
    t.equal(yield* ret({ start: MAP + 1 }), EINVAL);
    t.equal(yield* ret({ end: MAP - PAGE }), EFAULT);
    t.equal(yield* ret({ vec: 0 }), EINVAL);
    t.equal(yield* ret({ vec: 2 ** 48 }), EFAULT);
    t.equal(yield* ret({ flags: CHECK_WPASYNC }), EPERM, 'a vma without write protection');
    t.equal(yield* ret({ vec: 0, len: 0 }), 0, 'without an output buffer');
  });
  t.end();
});

for (const thp of ['never', 'always'] as const) {
  t.test(`pages that were written since the last scan, huge pages: ${thp}`, (t) => {
    run(
      function* (m) {
        yield* sys_mmap(m, MAP, HUGE, RW, PRIVATE | ANON | FIXED, -1, 0);
        yield* register_wp_async(m, HUGE);
        const written = { end: MAP + HUGE, flags: WP_MATCHING | CHECK_WPASYNC, mask: WRITTEN, ret: WRITTEN };
        yield* user_store32(m, MAP, 1);
        yield* user_store32(m, MAP + 7 * PAGE, 1);
        yield* scan(m, { ...written, vec: 0, len: 0 });
        t.same((yield* scan(m, written)).regions, [], 'all are protected');
        yield* user_store32(m, MAP + 7 * PAGE, 2);
        yield* user_store32(m, MAP + 9 * PAGE, 2);
        const pages = [
          [7, 8, WRITTEN],
          [9, 10, WRITTEN],
        ];
        t.same((yield* scan(m, written)).regions, pages);
        t.same((yield* scan(m, written)).regions, [], 'protected again');
        yield* user_store32(m, MAP + 3 * PAGE, 2);
        const part = yield* scan(m, { ...written, end: MAP + 16 * PAGE });
        t.same(part.regions, [[3, 4, WRITTEN]]);
        const allowed = yield* scan(m, { end: MAP + PAGE, mask: WPALLOWED, ret: WPALLOWED | WRITTEN });
        t.same(allowed.regions, [[0, 1, WPALLOWED]]);
      },
      { thp },
    );
    t.end();
  });
}

t.test('huge pages of hugetlb that were written, and a scan that ends within one', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, 2 * HUGE, RW, PRIVATE | ANON | FIXED | HUGETLB, -1, 0);
    yield* register_wp_async(m, 2 * HUGE);
    const written = { end: MAP + 2 * HUGE, flags: WP_MATCHING, mask: WRITTEN, ret: WRITTEN };
    yield* user_store32(m, MAP, 1);
    t.same((yield* scan(m, { ...written, max: 100 })).regions, []);
    t.same((yield* scan(m, written)).regions, [[0, 512, WRITTEN]]);
    t.same((yield* scan(m, written)).regions, []);
    yield* user_store32(m, MAP + HUGE, 1);
    t.same((yield* scan(m, written)).regions, [[512, 1024, WRITTEN]]);
  });
  t.end();
});
