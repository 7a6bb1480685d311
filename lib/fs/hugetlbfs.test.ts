// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_load8, user_memset, user_store32 } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { run_clean, signal_of, small_machine } from '../kernel/testing.ts';
import { sys_munmap } from '../mm/mmap/mmap.ts';
import { fd_install, get_unused_fd_flags } from './file.ts';
import type { file } from './fs.ts';
import { hugetlb_file_setup, hugetlb_get_unmapped_area } from './hugetlbfs.ts';
import { ksys_close, ksys_ftruncate, vfs_fallocate } from './open.ts';
import { ksys_read } from './read_write.ts';

const MIB = 1024 * 1024;
const HUGE = 2 * MIB;
const PAGE = 4096;
const BUF = 0x300000000;
const MAP = 0x200000000;
const [R, RW, SHARED, FIXED] = [1, 3, 1, 0x10];
const [ENOMEM, EFAULT, EINVAL, EOPNOTSUPP, SIGBUS] = [-12, -14, -22, -95, 7];
const [KEEP_SIZE, PUNCH_HOLE, COLLAPSE] = [1, 2, 8];

/** Runs the body with a file of `size` huge pages and its descriptor, in a machine that has four. */
function run(size: number, body: (m: Machine, f: file, fd: number) => Gen<void>): void {
  const m = run_clean(t, small_machine({ nr_hugepages: 4 }), function* (m) {
    yield* sys_mmap(m, BUF, 2 * PAGE, RW, 0x32, -1, 0);
    const f = yield* hugetlb_file_setup(m, 'file', size * HUGE, 0, 0, 0);
    if (typeof f === 'number') throw new Error(`hugetlb_file_setup: ${f}`);
    const fd = get_unused_fd_flags(m, 0);
    fd_install(m, fd, f);
    yield* body(m, f, fd);
  });
  t.same(pool(m), [4, 0], 'every huge page is free again');
}

function pool(m: Machine): number[] {
  return [m.hugetlb.default_hstate.free_huge_pages, m.hugetlb.default_hstate.resv_huge_pages];
}

t.test('addresses and lengths are whole huge pages', (t) => {
  run(2, function* (m, f, fd) {
    t.equal(hugetlb_get_unmapped_area(m, f, 0, PAGE, 0, SHARED), EINVAL);
    t.equal(hugetlb_get_unmapped_area(m, f, MAP + PAGE, HUGE, 0, SHARED | FIXED), EINVAL);
    t.equal(hugetlb_get_unmapped_area(m, f, MAP + PAGE, HUGE, 0, SHARED), MAP + HUGE, 'a hint is rounded up');
    t.equal(hugetlb_get_unmapped_area(m, f, 0, HUGE, 0, SHARED) % HUGE, 0);
    t.equal(yield* sys_mmap(m, MAP, PAGE, RW, SHARED | FIXED, fd, PAGE), EINVAL, 'an offset inside of a huge page');
    t.equal(yield* sys_mmap(m, MAP, PAGE, RW, SHARED | FIXED, fd, HUGE), MAP, 'a length is rounded up');
    yield* user_store32(m, MAP + HUGE - 4, 5);
    t.equal(yield* sys_munmap(m, MAP, HUGE), 0);
  });
  t.end();
});

t.test('a file reserves its pages when it is made; a mapping beyond that reserves more and makes it larger', (t) => {
  run(1, function* (m, f, fd) {
    t.same(pool(m), [4, 1]);
    t.equal(yield* sys_mmap(m, MAP, 3 * HUGE, RW, SHARED | FIXED, fd, 0), MAP);
    t.same(pool(m), [4, 3]);
    t.equal(f.f_inode.i_size, 3 * HUGE);
    t.equal(yield* sys_mmap(m, MAP + 8 * HUGE, 5 * HUGE, RW, SHARED | FIXED, fd, 0), ENOMEM, 'more than there are');
    t.equal(f.f_inode.i_size, 3 * HUGE);
    t.equal(yield* sys_mmap(m, MAP + 8 * HUGE, 4 * HUGE, R, SHARED | FIXED, fd, 0), MAP + 8 * HUGE);
    t.equal(f.f_inode.i_size, 3 * HUGE, 'who cannot write does not make it larger');
  });
  t.end();
});

t.test('read gives zeroes for holes and ends at the size', (t) => {
  run(2, function* (m, f, fd) {
    const read_at = (pos: number, buf: number, count: number): Gen<number> => {
      f.f_pos = pos;
      return ksys_read(m, fd, buf, count);
    };
    yield* sys_mmap(m, MAP, 2 * HUGE, RW, SHARED | FIXED, fd, 0);
    yield* user_store32(m, MAP + HUGE, 0x01020304);
    yield* user_memset(m, BUF, 0xff, 2 * PAGE);
    t.equal(yield* read_at(HUGE - 4, BUF, 8), 8);
    t.same([yield* user_load32(m, BUF), yield* user_load32(m, BUF + 4)], [0, 0x01020304]);
    t.equal(yield* read_at(2 * HUGE - 10, BUF, 100), 10);
    t.equal(yield* user_load8(m, BUF + 10), 0xff);
    t.equal(yield* read_at(2 * HUGE, BUF, 100), 0);
    t.equal(yield* read_at(0, 0x1000, 8), EFAULT);
    t.equal(yield* read_at(0, BUF + PAGE, 2 * PAGE), PAGE, 'as far as memory goes');
  });
  t.end();
});

t.test('a smaller size takes the pages behind it from every mapping', (t) => {
  run(3, function* (m, _f, fd) {
    yield* sys_mmap(m, MAP, 3 * HUGE, RW, SHARED | FIXED, fd, 0);
    for (let i = 0; i < 3; i++) yield* user_store32(m, MAP + i * HUGE, i + 1);
    t.same(pool(m), [1, 0]);
    t.equal(yield* ksys_ftruncate(m, fd, HUGE + PAGE), EINVAL);
    t.equal(yield* ksys_ftruncate(m, fd, HUGE), 0);
    t.same(pool(m), [3, 0]);
    t.equal(yield* user_load32(m, MAP), 1);
    t.equal(yield* signal_of(user_load32(m, MAP + HUGE)), SIGBUS);
  });
  t.end();
});

t.test('a punched hole frees whole pages and zeroes parts of others', (t) => {
  run(3, function* (m, f, fd) {
    yield* sys_mmap(m, MAP, 3 * HUGE, RW, SHARED | FIXED, fd, 0);
    for (const at of [HUGE - PAGE, HUGE - 2 * PAGE, HUGE, 2 * HUGE, 2 * HUGE + PAGE])
      yield* user_store32(m, MAP + at, 9);
    t.equal(yield* vfs_fallocate(m, f, COLLAPSE, 0, HUGE), EOPNOTSUPP);
    t.equal(yield* vfs_fallocate(m, f, PUNCH_HOLE | KEEP_SIZE, HUGE - PAGE, HUGE + 2 * PAGE), 0);
    t.equal(f.f_inode.i_size, 3 * HUGE);
    t.equal(pool(m)[0], 2);
    const words: number[] = [];
    for (const at of [HUGE - 2 * PAGE, HUGE - PAGE, 2 * HUGE, 2 * HUGE + PAGE])
      words.push(yield* user_load32(m, MAP + at));
    t.same(words, [9, 0, 0, 9]);
    t.equal(yield* user_load32(m, MAP + HUGE), 0, 'a new page');
    t.equal(pool(m)[0], 1);
    t.equal(yield* ksys_close(m, fd), 0);
    t.equal(yield* user_load32(m, MAP + HUGE - 2 * PAGE), 9, 'a mapping keeps the file');
  });
  t.end();
});
