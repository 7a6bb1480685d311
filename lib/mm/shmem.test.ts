// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../arch/x86/entry/syscall_64.ts';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32 } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { fget } from '../fs/file.ts';
import { fput } from '../fs/file_table.ts';
import type { file } from '../fs/fs.ts';
import { do_sys_open, ksys_fallocate, ksys_ftruncate } from '../fs/open.ts';
import { ksys_lseek, ksys_pread64, ksys_pwrite64, ksys_read, ksys_write } from '../fs/read_write.ts';
import { kernel_wait4 } from '../kernel/exit.ts';
import { kernel_clone } from '../kernel/fork/fork.ts';
import type { Gen } from '../kernel/gen.ts';
import { run_clean, signal_of, small_machine } from '../kernel/testing.ts';
import { lru_add_drain_all } from './folio.ts';
import type { mm_struct } from './mm_types.ts';

const PAGE = 4096;
const MAP = 0x200000000;
const MAP2 = 0x240000000;
const BUF = 0x300000000;
const [R, RW] = [1, 3];
const [SHARED, PRIVATE, FIXED, ANON] = [1, 2, 0x10, 0x20];
const [FILE_PAGES, ANON_PAGES, SHMEM_PAGES] = [0, 1, 3];
const O_RDWR = 2;
const O_TMPFILE = 0o20200000;
const [KEEP_SIZE, PUNCH_HOLE] = [1, 2];
const SIGBUS = 7;
const [NR_close, NR_munmap] = [3, 11];

function run(body: (m: Machine) => Gen<void>): Machine {
  return run_clean(t, small_machine(), function* (m) {
    yield* sys_mmap(m, BUF, 16 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* body(m);
  });
}

/** A file of /tmp without a name, of n pages of which page i begins with 0xf0000 + i. */
function* tmpfile(m: Machine, n: number): Gen<number> {
  const fd = yield* do_sys_open(m, '/tmp', O_TMPFILE | O_RDWR, 0o600);
  yield* ksys_ftruncate(m, fd, n * PAGE);
  for (let i = 0; i < n; i++) {
    yield* user_store32(m, BUF, 0xf0000 + i);
    yield* ksys_pwrite64(m, fd, BUF, 4, i * PAGE);
  }
  return fd;
}

function open_file(m: Machine, fd: number): file {
  const f = fget(m, fd) as file;
  fput(m, f);
  return f;
}

const rss = (m: Machine, kind: number): number => (m.current.mm as mm_struct).rss_stat[kind];

t.test('what is written to a file is read back, over page edges and at the file position', (t) => {
  run(function* (m) {
    const fd = yield* do_sys_open(m, '/tmp', O_TMPFILE | O_RDWR, 0o600);
    for (let i = 0; i < 3 * PAGE; i += 4) yield* user_store32(m, BUF + i, i);
    t.equal(yield* ksys_write(m, fd, BUF, 2 * PAGE + 8), 2 * PAGE + 8);
    t.equal(ksys_lseek(m, fd, 0, 1), 2 * PAGE + 8);
    t.equal(ksys_lseek(m, fd, PAGE - 4, 0), PAGE - 4);
    t.equal(yield* ksys_read(m, fd, BUF + 8 * PAGE, 8), 8);
    t.equal(yield* user_load32(m, BUF + 8 * PAGE), PAGE - 4);
    t.equal(yield* user_load32(m, BUF + 8 * PAGE + 4), PAGE);
    t.equal(yield* ksys_pread64(m, fd, BUF, 100, 2 * PAGE), 8, 'reads end at the size');
    t.equal(yield* ksys_pread64(m, fd, BUF, 100, 9 * PAGE), 0);
    t.equal(yield* ksys_pread64(m, fd, 0x7000, 100, 0), -14);
    t.equal(yield* ksys_pwrite64(m, fd, 0x7000, 100, 0), -14);
  });
  t.end();
});

t.test('a hole reads as zeroes and has no page until it is faulted in', (t) => {
  run(function* (m) {
    const fd = yield* do_sys_open(m, '/tmp', O_TMPFILE | O_RDWR, 0o600);
    t.equal(yield* ksys_ftruncate(m, fd, 4 * PAGE), 0);
    yield* user_store32(m, BUF, 7);
    t.equal(yield* ksys_pread64(m, fd, BUF, 4, PAGE), 4);
    t.equal(yield* user_load32(m, BUF), 0);
    const mapping = open_file(m, fd).f_mapping;
    t.equal(mapping?.nrpages, 0);
    yield* sys_mmap(m, MAP, 4 * PAGE, RW, SHARED | FIXED, fd, 0);
    t.equal(yield* user_load32(m, MAP + PAGE), 0);
    t.equal(mapping?.nrpages, 1);
  });
  t.end();
});

t.test('a read fault maps the pages around it that the file has, a write fault its own only', (t) => {
  run(function* (m) {
    const fd = yield* tmpfile(m, 20);
    yield* sys_mmap(m, MAP, 20 * PAGE, RW, SHARED | FIXED, fd, 0);
    yield* user_store32(m, MAP + 18 * PAGE, 1);
    t.equal(rss(m, SHMEM_PAGES), 1);
    t.equal(yield* user_load32(m, MAP + 2 * PAGE), 0xf0002);
    t.equal(rss(m, SHMEM_PAGES), 17, '16 pages around page 2');
    t.equal(rss(m, FILE_PAGES), 0, 'tmpfs counts as shared memory');
    yield* user_load32(m, MAP + 17 * PAGE);
    t.equal(rss(m, SHMEM_PAGES), 20);
  });
  t.end();
});

t.test('a private mapping copies what it writes to, and the file keeps its own', (t) => {
  run(function* (m) {
    const fd = yield* tmpfile(m, 2);
    yield* sys_mmap(m, MAP, 2 * PAGE, RW, PRIVATE | FIXED, fd, 0);
    const anon = rss(m, ANON_PAGES);
    t.equal(yield* user_load32(m, MAP), 0xf0000);
    yield* user_store32(m, MAP, 5);
    t.equal(yield* user_load32(m, MAP), 5);
    t.equal(yield* user_load32(m, MAP + PAGE), 0xf0001);
    t.equal(rss(m, ANON_PAGES), anon + 1);
    t.equal(rss(m, SHMEM_PAGES), 1);
    yield* ksys_pread64(m, fd, BUF, 4, 0);
    t.equal(yield* user_load32(m, BUF), 0xf0000);
  });
  t.end();
});

t.test('truncation takes pages away from mappings, private copies too, and beyond the end is SIGBUS', (t) => {
  run(function* (m) {
    const fd = yield* tmpfile(m, 4);
    yield* sys_mmap(m, MAP, 4 * PAGE, RW, SHARED | FIXED, fd, 0);
    yield* sys_mmap(m, MAP2, 4 * PAGE, RW, PRIVATE | FIXED, fd, 0);
    yield* user_store32(m, MAP + PAGE + 2048, 9);
    yield* user_store32(m, MAP + 3 * PAGE, 9);
    yield* user_store32(m, MAP2 + 3 * PAGE, 9);
    t.equal(yield* ksys_ftruncate(m, fd, PAGE + 1024), 0);
    t.equal(open_file(m, fd).f_mapping?.nrpages, 2);
    t.equal(yield* user_load32(m, MAP + PAGE), 0xf0001);
    t.equal(yield* user_load32(m, MAP + PAGE + 2048), 0, 'the rest of the last page is zeroed');
    t.equal(yield* signal_of(user_load32(m, MAP + 3 * PAGE)), SIGBUS);
    t.equal(yield* signal_of(user_load32(m, MAP2 + 3 * PAGE)), SIGBUS);
  });
  t.end();
});

t.test('a punched hole leaves private copies alone; fallocate makes pages', (t) => {
  run(function* (m) {
    const fd = yield* tmpfile(m, 4);
    yield* sys_mmap(m, MAP, 4 * PAGE, RW, SHARED | FIXED, fd, 0);
    yield* sys_mmap(m, MAP2, 4 * PAGE, RW, PRIVATE | FIXED, fd, 0);
    yield* user_store32(m, MAP2 + PAGE, 77);
    yield* user_load32(m, MAP + PAGE);
    t.equal(yield* ksys_fallocate(m, fd, PUNCH_HOLE | KEEP_SIZE, PAGE, PAGE), 0);
    t.equal(yield* user_load32(m, MAP + PAGE), 0);
    t.equal(yield* user_load32(m, MAP2 + PAGE), 77);
    t.equal(yield* ksys_fallocate(m, fd, 0, 4 * PAGE, 2 * PAGE), 0);
    t.equal(open_file(m, fd).f_inode.i_size, 6 * PAGE);
    t.equal(open_file(m, fd).f_mapping?.nrpages, 6);
    t.equal(yield* ksys_fallocate(m, fd, 0x100, 0, PAGE), -95);
  });
  t.end();
});

t.test('shared anonymous memory is shared with a child, and goes with its last mapping', (t) => {
  const m = run(function* (m) {
    const free = m.zone.nr_free;
    const mappings = m.mappings.live().length;
    yield* sys_mmap(m, MAP, 8 * PAGE, RW, SHARED | ANON | FIXED, -1, 0);
    yield* user_store32(m, MAP, 1);
    const pid = yield* kernel_clone(m, 0, function* () {
      t.equal(yield* user_load32(m, MAP), 1);
      yield* user_store32(m, MAP + PAGE, 2);
    });
    yield* kernel_wait4(m, pid, 0);
    t.equal(yield* user_load32(m, MAP + PAGE), 2);
    yield* do_syscall_64(m, NR_munmap, MAP, 8 * PAGE);
    t.equal(m.mappings.live().length, mappings, 'no address space is left over');
    yield* lru_add_drain_all(m);
    t.ok(m.zone.nr_free >= free - 2, 'nor pages, but for page tables');
  });
  t.same(m.log.warnings, []);
  t.end();
});

t.test('a named file of /tmp stays when it is closed, one without a name goes', (t) => {
  run(function* (m) {
    const fd = yield* do_sys_open(m, '/tmp/name', O_RDWR | 0o100, 0o600);
    yield* user_store32(m, BUF, 42);
    yield* ksys_write(m, fd, BUF, 4);
    yield* do_syscall_64(m, NR_close, fd);
    const again = yield* do_sys_open(m, '/tmp/name', 0, 0);
    t.equal(yield* ksys_read(m, again, BUF + 8, 8), 4);
    t.equal(yield* user_load32(m, BUF + 8), 42);
    t.equal(yield* ksys_write(m, again, BUF, 4), -9, 'opened for reading');
    const live = m.mappings.live().length;
    const temp = yield* tmpfile(m, 2);
    t.equal(m.mappings.live().length, live + 1);
    yield* do_syscall_64(m, NR_close, temp);
    t.equal(m.mappings.live().length, live);
    t.equal(yield* sys_mmap(m, 0, PAGE, RW, SHARED, again, 0), -13, 'a shared writable mapping needs a writable file');
    t.ok((yield* sys_mmap(m, 0, PAGE, R, SHARED, again, 0)) > 0);
  });
  t.end();
});
