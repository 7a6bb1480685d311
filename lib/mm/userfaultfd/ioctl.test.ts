// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_load64, user_memset, user_store32, user_store64 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { fget } from '../../fs/file.ts';
import { fput } from '../../fs/file_table.ts';
import type { file } from '../../fs/fs.ts';
import { sys_ioctl } from '../../fs/ioctl.ts';
import { ksys_read } from '../../fs/read_write.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { sched_yield } from '../../kernel/sched/syscalls.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import type { mm_struct } from '../mm_types.ts';
import { sys_userfaultfd, type userfaultfd_ctx } from './userfaultfd.ts';

const [PAGE, HUGE, MAP, BUF] = [4096, 2 * 1024 * 1024, 0x200000000, 0x300000000];
const [SRC, MSG] = [BUF + PAGE, BUF + 512];
const [RW, PRIVATE, FIXED, ANON, HUGETLB] = [3, 2, 0x10, 0x20, 0x40000];
const THREAD = 0x10500;
const [API, REGISTER, UNREGISTER, WAKE] = [0xc018aa3f, 0xc020aa00, 0x8010aa01, 0x8010aa02];
const [COPY, ZEROPAGE, WRITEPROTECT] = [0xc028aa03, 0xc020aa04, 0xc018aa06];
const [MISSING, WP] = [1, 2];
const [ENOENT, EAGAIN, EFAULT, EBUSY, EEXIST, EINVAL] = [-2, -11, -14, -16, -17, -22];

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): void {
  const m = run_clean(t, small_machine({ nr_hugepages: 1 }), function* (m, mm) {
    yield* sys_mmap(m, BUF, 8 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* user_memset(m, SRC, 0xab, 4 * PAGE);
    yield* sys_mmap(m, MAP, 16 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* body(m, mm);
  });
  t.same(m.log.lines, []);
}

/** A request with its structure's words, which lie at BUF. */
function* ioctl(m: Machine, fd: number, cmd: number, ...words: number[]): Gen<number> {
  for (let i = 0; i < words.length; i++) yield* user_store64(m, BUF + i * 8, words[i]);
  return yield* sys_ioctl(m, fd, cmd, BUF);
}

function* open_uffd(m: Machine, features = 0): Gen<number> {
  const fd = yield* sys_userfaultfd(m, 0);
  t.equal(yield* ioctl(m, fd, API, 0xaa, features, 0), 0);
  return fd;
}

function ctx_of(m: Machine, fd: number): userfaultfd_ctx {
  const f = fget(m, fd) as file;
  fput(m, f);
  return f.private_data as userfaultfd_ctx;
}

/** The vmas of MAP in pages, with the modes of those that are registered. */
function vmas(mm: mm_struct): string {
  return mm.mm_mt
    .filter((v) => v.vm_start >= MAP && v.vm_end <= MAP + 16 * PAGE)
    .map(
      (v) =>
        `${(v.vm_start - MAP) / PAGE}-${(v.vm_end - MAP) / PAGE}${v.vm_flags & 0x200 ? 'm' : ''}${v.vm_flags & 0x1000 ? 'w' : ''}`,
    )
    .join(' ');
}

t.test('the handshake answers features and requests, and takes only features that go together', (t) => {
  run(function* (m) {
    const [WP_UNPOPULATED, WP_ASYNC, RWP_ASYNC] = [1 << 13, 1 << 15, 1 << 18];
    const fd = yield* open_uffd(m, WP_ASYNC);
    t.same(
      [yield* user_load64(m, BUF + 8), yield* user_load32(m, BUF + 16), yield* user_load32(m, BUF + 20)],
      [0x7ffff, 0x403, 0x80000000],
    );
    t.equal(ctx_of(m, fd).features & 0x7ffff, WP_ASYNC | WP_UNPOPULATED, 'one of them brings another');
    const raw = yield* sys_userfaultfd(m, 0);
    t.equal(yield* ioctl(m, raw, API, 0xaa, RWP_ASYNC, 0), EINVAL);
    t.equal(yield* user_load64(m, BUF), 0);
    t.equal(yield* ioctl(m, raw, WAKE, MAP, PAGE), EINVAL, 'nothing else before it');
    t.equal(yield* ioctl(m, fd, 0xc018aa3e), EINVAL);
  });
  t.end();
});

t.test('registration splits and joins, says what can be asked for, and one descriptor has a range for itself', (t) => {
  run(function* (m, mm) {
    const [fd, other] = [yield* open_uffd(m), yield* open_uffd(m)];
    t.equal(yield* ioctl(m, fd, REGISTER, MAP + 4 * PAGE, 4 * PAGE, MISSING, 0), 0);
    t.equal(yield* user_load64(m, BUF + 24), 0b100111100);
    t.equal(vmas(mm), '0-4 4-8m 8-16');
    t.equal(yield* ioctl(m, fd, REGISTER, MAP + 6 * PAGE, 4 * PAGE, MISSING | WP, 0), 0);
    t.equal(yield* user_load64(m, BUF + 24), 0b101111100);
    t.equal(vmas(mm), '0-4 4-6m 6-10mw 10-16');
    t.equal(yield* ioctl(m, fd, REGISTER, MAP, 10 * PAGE, MISSING, 0), EBUSY, 'protection is not dropped in passing');
    t.equal(vmas(mm), '0-4 4-6m 6-10mw 10-16');
    t.equal(yield* ioctl(m, other, REGISTER, MAP + 8 * PAGE, 4 * PAGE, MISSING | WP, 0), EBUSY);
    t.equal(yield* ioctl(m, other, UNREGISTER, MAP + 8 * PAGE, 4 * PAGE), EINVAL);
    t.equal(yield* ioctl(m, fd, REGISTER, MAP + 4 * PAGE, 2 * PAGE, MISSING | WP, 0), 0);
    t.equal(vmas(mm), '0-4 4-10mw 10-16');
    t.equal(yield* ioctl(m, fd, UNREGISTER, MAP + 5 * PAGE, 6 * PAGE), 0);
    t.equal(vmas(mm), '0-4 4-5mw 5-16');
    t.equal(yield* ioctl(m, fd, UNREGISTER, MAP, 16 * PAGE), 0);
    t.equal(vmas(mm), '0-16');
    for (const [start, len] of [
      [MAP + 1, PAGE],
      [MAP, 1],
      [MAP, 0],
      [2 ** 47, PAGE],
      [MAP, 2 ** 47],
    ] as const) {
      t.equal(yield* ioctl(m, fd, REGISTER, start, len, MISSING, 0), EINVAL);
      t.equal(yield* ioctl(m, fd, UNREGISTER, start, len), EINVAL);
      t.equal(yield* ioctl(m, fd, WAKE, start, len), EINVAL);
    }
    t.equal(yield* sys_ioctl(m, fd, REGISTER, 0x7000), EFAULT);
    yield* sys_mmap(m, MAP + 2 * HUGE, HUGE, RW, PRIVATE | ANON | FIXED | HUGETLB, -1, 0);
    t.equal(yield* ioctl(m, fd, REGISTER, MAP + 2 * HUGE, HUGE, MISSING | WP, 0), 0);
    t.equal(yield* user_load64(m, BUF + 24), 0b101001100, 'a huge page cannot be zeroed or moved');
    t.equal(yield* ioctl(m, fd, WRITEPROTECT, MAP + 2 * HUGE, PAGE, 1), EINVAL);
  });
  t.end();
});

t.test('a fill reports how far it came in its last word', (t) => {
  run(function* (m) {
    const fd = yield* open_uffd(m);
    yield* ioctl(m, fd, REGISTER, MAP, 8 * PAGE, MISSING, 0);
    t.equal(yield* ioctl(m, fd, COPY, MAP + 2 * PAGE, SRC, PAGE, 0, 7), 0);
    t.equal(yield* user_load64(m, BUF + 32), PAGE);
    t.equal(yield* ioctl(m, fd, COPY, MAP, SRC, 4 * PAGE, 0, 7), EAGAIN, 'a page is there already');
    t.equal(yield* user_load64(m, BUF + 32), 2 * PAGE);
    t.equal(yield* ioctl(m, fd, COPY, MAP, SRC, PAGE, 0, 7), EEXIST);
    t.same(
      [yield* user_load32(m, BUF + 32), yield* user_load32(m, BUF + 36)],
      [0xffffffef, 0xffffffff],
      '-EEXIST in 64 bits',
    );
    t.equal(yield* ioctl(m, fd, ZEROPAGE, MAP + PAGE, 4 * PAGE, 0, 7), EEXIST);
    t.equal(yield* ioctl(m, fd, ZEROPAGE, MAP + 3 * PAGE, 2 * PAGE, 0, 7), 0);
    t.equal(yield* user_load64(m, BUF + 24), 2 * PAGE);
    t.equal(yield* ioctl(m, fd, COPY, MAP + 5 * PAGE, SRC + 5, PAGE, 0, 7), 0, 'the source need not be aligned');
    for (const mode of [4, 2 ** 32]) t.equal(yield* ioctl(m, fd, COPY, MAP + 6 * PAGE, SRC, PAGE, mode, 7), EINVAL);
    for (const mode of [2, 2 ** 40]) t.equal(yield* ioctl(m, fd, ZEROPAGE, MAP + 6 * PAGE, PAGE, mode, 7), EINVAL);
    t.equal(yield* user_load64(m, BUF + 24), 7, 'a refused request writes nothing');
  });
  t.end();
});

t.test('who waits is woken by the fill, by WAKE if the fill does not, and by the end of the registration', (t) => {
  run(function* (m) {
    const fd = yield* open_uffd(m);
    yield* ioctl(m, fd, REGISTER, MAP, 4 * PAGE, MISSING, 0);
    const values = [0, 0, 0];
    for (const i of [0, 1, 2]) {
      yield* kernel_clone(m, THREAD, function* () {
        values[i] = (yield* user_load32(m, MAP + i * PAGE)) + 1;
      });
      yield* ksys_read(m, fd, MSG, 32);
      t.equal(yield* user_load64(m, MSG + 16), MAP + i * PAGE);
    }
    const settle = function* (): Gen<void> {
      for (let i = 0; i < 20; i++) yield* sched_yield(m);
    };
    yield* ioctl(m, fd, ZEROPAGE, MAP, PAGE, 1, 0);
    yield* settle();
    t.same(values, [0, 0, 0], 'DONTWAKE');
    t.equal(yield* ioctl(m, fd, WAKE, MAP, PAGE), 0);
    yield* settle();
    t.same(values, [1, 0, 0]);
    t.equal(yield* ioctl(m, fd, WAKE, MAP + PAGE, PAGE), 0);
    yield* ksys_read(m, fd, MSG, 32);
    t.equal(yield* user_load64(m, MSG + 16), MAP + PAGE, 'woken for nothing it faults again');
    yield* ioctl(m, fd, COPY, MAP + PAGE, SRC, PAGE, 0, 0);
    yield* settle();
    t.same(values, [1, 0xabababac, 0]);
    t.equal(yield* ioctl(m, fd, UNREGISTER, MAP, 4 * PAGE), 0);
    yield* settle();
    t.same(values, [1, 0xabababac, 1]);
  });
  t.end();
});

t.test('write protection: modes, ranges and memory that is not there yet', (t) => {
  run(function* (m) {
    const [fd, unpopulated] = [yield* open_uffd(m), yield* open_uffd(m, 1 << 13)];
    yield* ioctl(m, fd, REGISTER, MAP, 4 * PAGE, WP, 0);
    yield* ioctl(m, unpopulated, REGISTER, MAP + 8 * PAGE, 4 * PAGE, WP, 0);
    t.same(
      [yield* ioctl(m, fd, WRITEPROTECT, MAP, PAGE, 3), yield* ioctl(m, fd, WRITEPROTECT, MAP, PAGE, 4)],
      [EINVAL, EINVAL],
    );
    t.equal(yield* ioctl(m, fd, WRITEPROTECT, MAP, 8 * PAGE, 1), ENOENT, 'its end is not registered for it');
    t.equal(yield* ioctl(m, fd, WRITEPROTECT, MAP + HUGE, PAGE, 1), ENOENT);
    t.equal(yield* ioctl(m, fd, WRITEPROTECT, MAP, 4 * PAGE, 1), 0);
    yield* user_store32(m, MAP, 1);
    t.equal(yield* ioctl(m, unpopulated, WRITEPROTECT, MAP + 8 * PAGE, 4 * PAGE, 1), 0);
    let done = false;
    yield* kernel_clone(m, THREAD, function* () {
      yield* user_store32(m, MAP + 9 * PAGE, 1);
      done = true;
    });
    yield* ksys_read(m, unpopulated, MSG, 32);
    t.same([yield* user_load64(m, MSG + 16), done], [MAP + 9 * PAGE, false], 'with a marker in its place');
    t.equal(yield* ioctl(m, unpopulated, WRITEPROTECT, MAP + 9 * PAGE, PAGE, 2), 0);
    for (let i = 0; i < 20; i++) yield* sched_yield(m);
    t.notOk(done, 'DONTWAKE');
    t.equal(yield* ioctl(m, unpopulated, WAKE, MAP + 9 * PAGE, PAGE), 0);
    while (!done) yield* sched_yield(m);
  });
  t.end();
});
