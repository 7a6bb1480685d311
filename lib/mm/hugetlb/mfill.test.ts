// SPDX-License-Identifier: GPL-2.0-only

import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_memset, user_store64 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { fget } from '../../fs/file.ts';
import { fput } from '../../fs/file_table.ts';
import type { file } from '../../fs/fs.ts';
import { sys_ioctl } from '../../fs/ioctl.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { sys_madvise } from '../madvise/madvise.ts';
import type { mm_struct } from '../mm_types.ts';
import { sys_munmap } from '../mmap/mmap.ts';
import { mfill_atomic } from '../userfaultfd/mfill.ts';
import { sys_userfaultfd, type userfaultfd_ctx } from '../userfaultfd/userfaultfd.ts';
import t from 'tap';

const [PAGE, HUGE, MAP, BUF] = [4096, 2 * 1024 * 1024, 0x200000000, 0x300000000];
const SRC = BUF + PAGE;
const RW = 3;
const [PRIVATE, FIXED, ANON, HUGETLB] = [2, 0x10, 0x20, 0x40000];
const [COPY, ZEROPAGE] = [0, 1];
const MISSING = 1;
const [EEXIST, EINVAL] = [-17, -22];
const POPULATE_WRITE = 23;

/** Runs the body as a process; `fill` fills pages from MAP on for a descriptor. */
function run(
  body: (
    m: Machine,
    mm: mm_struct,
    fill: (fd: number, page: number, n?: number, mode?: number, wp?: boolean, src?: number) => Gen<number>,
  ) => Gen<void>,
): void {
  const m = run_clean(t, small_machine({ thp: 'madvise', nr_hugepages: 2 }), function* (m, mm) {
    yield* sys_mmap(m, BUF, 8 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* user_memset(m, SRC, 0xab, 4 * PAGE);
    yield* body(m, mm, function* (fd, page, n = 1, mode = COPY, wp = false, src = SRC) {
      const f = fget(m, fd) as file;
      fput(m, f);
      return yield* mfill_atomic(m, f.private_data as userfaultfd_ctx, mode, MAP + page * PAGE, src, n * PAGE, wp);
    });
  });
  t.same(m.log.lines, []);
}

/** A descriptor with [start, start + len) registered. */
function* uffd(m: Machine, start: number, len: number, mode = MISSING): Gen<number> {
  const fd = yield* sys_userfaultfd(m, 0);
  const call = function* (cmd: number, words: number[]): Gen<void> {
    for (let i = 0; i < words.length; i++) yield* user_store64(m, BUF + i * 8, words[i]);
    t.equal(yield* sys_ioctl(m, fd, cmd, BUF), 0);
  };
  yield* call(0xc018aa3f, [0xaa, 0, 0]);
  yield* call(0xc020aa00, [start, len, mode, 0]);
  return fd;
}

t.test('hugetlb memory takes whole huge pages, none of zeroes, and as many as there are', (t) => {
  run(function* (m, mm, fill) {
    yield* sys_mmap(m, MAP, 3 * HUGE, RW, PRIVATE | ANON | FIXED | HUGETLB | 0x4000, -1, 0);
    const fd = yield* uffd(m, MAP, 3 * HUGE);
    yield* sys_mmap(m, MAP + 8 * HUGE, 3 * HUGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    t.equal(yield* sys_madvise(m, MAP + 8 * HUGE, 3 * HUGE, POPULATE_WRITE), 0);
    yield* user_memset(m, MAP + 8 * HUGE, 0xcd, PAGE);
    t.equal(yield* fill(fd, 0, 512, ZEROPAGE), EINVAL);
    t.equal(yield* fill(fd, 0, 511), EINVAL);
    t.equal(yield* fill(fd, 1, 512), EINVAL);
    t.equal(yield* fill(fd, 0, 1536, COPY, false, MAP + 8 * HUGE), 2 * HUGE, 'the pool had two');
    t.equal(
      yield* fill(fd, 1024, 512, COPY, false, MAP + 8 * HUGE),
      EEXIST,
      'with a table there, an empty pool is taken for a page that is there',
    );
    t.equal(yield* fill(fd, 0, 512, COPY, false, MAP + 8 * HUGE), EEXIST);
    t.equal(mm.hugetlb_usage, 1024);
    t.same([yield* user_load32(m, MAP), yield* user_load32(m, MAP + HUGE)], [0xcdcdcdcd, 0]);
    yield* sys_munmap(m, MAP, 3 * HUGE);
  });
  t.end();
});
