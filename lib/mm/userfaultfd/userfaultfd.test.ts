// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../../arch/x86/entry/syscall_64.ts';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import {
  copy_to_user,
  user_load32,
  user_load64,
  user_memset,
  user_store32,
  user_store64,
} from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { sys_ioctl } from '../../fs/ioctl.ts';
import { do_poll } from '../../fs/poll.ts';
import { ksys_read } from '../../fs/read_write.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { sched_yield } from '../../kernel/sched/syscalls.ts';
import { run_clean, signal_of, small_machine } from '../../kernel/testing.ts';
import type { mm_struct } from '../mm_types.ts';
import { sys_userfaultfd } from './userfaultfd.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const BUF = 0x300000000;
const SRC = BUF + PAGE;
const MSG = BUF + 512;
const RW = 3;
const [SHARED, PRIVATE, FIXED, ANON, HUGETLB] = [1, 2, 0x10, 0x20, 0x40000];
const O_NONBLOCK = 0o4000;
const THREAD = 0x10500;
const [API, REGISTER, UNREGISTER, COPY, ZEROPAGE, WRITEPROTECT] = [
  0xc018aa3f, 0xc020aa00, 0x8010aa01, 0xc028aa03, 0xc020aa04, 0xc018aa06,
];
const [NR_close, NR_munmap] = [3, 11];
const [ENOENT, EAGAIN, EFAULT, EEXIST, EINVAL] = [-2, -11, -14, -17, -22];
const SIGBUS = 7;

function run(body: (m: Machine) => Gen<void>): void {
  run_clean(t, small_machine({ nr_hugepages: 2 }), function* (m) {
    yield* sys_mmap(m, BUF, 4 * HUGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* user_memset(m, SRC, 0xab, PAGE);
    yield* body(m);
  });
}

function* words(m: Machine, ...list: number[]): Gen<number> {
  for (let i = 0; i < list.length; i++) yield* user_store64(m, BUF + i * 8, list[i]);
  return BUF;
}

function* open_uffd(m: Machine, flags = 0, features = 0): Gen<number> {
  const fd = yield* sys_userfaultfd(m, flags);
  t.equal(yield* sys_ioctl(m, fd, API, yield* words(m, 0xaa, features, 0)), 0);
  return fd;
}

function* register(m: Machine, fd: number, start: number, len: number, mode = 1): Gen<number> {
  return yield* sys_ioctl(m, fd, REGISTER, yield* words(m, start, len, mode, 0));
}

/** A thread that answers n faults with a copy of SRC; `seen` gets the addresses. */
function* handler(m: Machine, fd: number, n: number, seen: number[]): Gen<void> {
  yield* kernel_clone(m, THREAD, function* () {
    for (let i = 0; i < n; i++) {
      t.equal(yield* ksys_read(m, fd, MSG, 32), 32);
      const at = yield* user_load64(m, MSG + 16);
      seen.push(at);
      t.equal(yield* sys_ioctl(m, fd, COPY, yield* words(m, at, SRC, PAGE, 0, 0)), 0);
      t.equal(yield* user_load64(m, BUF + 32), PAGE);
    }
  });
}

t.test('nothing works before the handshake, which happens once', (t) => {
  run(function* (m) {
    t.equal(yield* sys_userfaultfd(m, 0x40), EINVAL);
    const fd = yield* sys_userfaultfd(m, 0);
    yield* sys_mmap(m, MAP, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    t.equal(yield* register(m, fd, MAP, PAGE), EINVAL);
    t.equal(yield* ksys_read(m, fd, MSG, 32), EINVAL);
    t.equal(yield* sys_ioctl(m, fd, API, yield* words(m, 0xab, 0, 0)), EINVAL);
    t.equal(yield* sys_ioctl(m, fd, API, yield* words(m, 0xaa, 2 ** 40, 0)), EINVAL);
    t.equal(yield* user_load64(m, BUF), 0, 'a refused handshake zeroes the structure');
    t.equal(yield* sys_ioctl(m, fd, API, yield* words(m, 0xaa, 0, 0)), 0);
    t.equal(yield* user_load64(m, BUF + 8), 0x7ffff);
    t.equal(yield* sys_ioctl(m, fd, API, yield* words(m, 0xaa, 0, 0)), EINVAL);
    t.equal(yield* sys_ioctl(m, fd, API, 0x7000), EFAULT);
  });
  t.end();
});

t.test('a fault on an absent page waits until the handler has filled it', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, 8 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    const fd = yield* open_uffd(m);
    t.equal(yield* register(m, fd, MAP + 2 * PAGE, 2 * PAGE), 0);
    t.equal((m.current.mm as mm_struct).mm_mt.filter((v) => v.vm_start >= MAP && v.vm_end <= MAP + 8 * PAGE).length, 3);
    const seen: number[] = [];
    yield* handler(m, fd, 2, seen);
    t.equal(yield* user_load32(m, MAP + 2 * PAGE + 12), 0xabababab);
    yield* user_store32(m, MAP + 3 * PAGE, 1);
    t.same(seen, [MAP + 2 * PAGE, MAP + 3 * PAGE]);
    t.equal(yield* user_load32(m, MAP + 3 * PAGE + 4), 0xabababab);
    t.equal(yield* user_load32(m, MAP), 0, 'next to it memory is as ever');
    t.equal(yield* sys_ioctl(m, fd, UNREGISTER, yield* words(m, MAP, 8 * PAGE)), 0);
    t.equal((m.current.mm as mm_struct).mm_mt.filter((v) => v.vm_start >= MAP && v.vm_end <= MAP + 8 * PAGE).length, 1);
  });
  t.end();
});

t.test('copies go only where nothing is and where the range is registered', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, 4 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    const fd = yield* open_uffd(m);
    t.equal(yield* sys_ioctl(m, fd, COPY, yield* words(m, MAP, SRC, PAGE, 0, 0)), ENOENT);
    t.equal(yield* register(m, fd, MAP, 2 * PAGE), 0);
    t.equal(yield* sys_ioctl(m, fd, COPY, yield* words(m, MAP, SRC, PAGE, 0, 0)), 0);
    t.equal(yield* sys_ioctl(m, fd, COPY, yield* words(m, MAP, SRC, PAGE, 0, 0)), EEXIST);
    t.equal(yield* sys_ioctl(m, fd, COPY, yield* words(m, MAP, SRC, 2 * PAGE, 0, 0)), EEXIST);
    t.equal(yield* sys_ioctl(m, fd, COPY, yield* words(m, MAP + 1, SRC, PAGE, 0, 0)), EINVAL);
    t.equal(yield* sys_ioctl(m, fd, COPY, yield* words(m, MAP + PAGE, SRC, 0, 0, 0)), EINVAL);
    t.equal(yield* sys_ioctl(m, fd, COPY, yield* words(m, MAP + PAGE, 0x7000, PAGE, 0, 0)), EFAULT);
    t.equal(
      yield* sys_ioctl(m, fd, COPY, yield* words(m, MAP + PAGE, SRC + 8 * PAGE, PAGE, 0, 0)),
      0,
      'the source may have to be faulted in',
    );
    t.equal(yield* user_load32(m, MAP + PAGE), 0);
    t.equal(yield* register(m, fd, MAP + 2 * PAGE, PAGE), 0);
    t.equal(yield* sys_ioctl(m, fd, ZEROPAGE, yield* words(m, MAP + 2 * PAGE, PAGE, 0, 0)), 0);
    t.equal(yield* user_load32(m, MAP + 2 * PAGE), 0);
    t.equal(yield* register(m, fd, MAP, PAGE, 0), EINVAL);
    t.equal(yield* register(m, fd, MAP, PAGE, 16), EINVAL);
    t.equal(yield* register(m, fd, 0x7f0000000000, PAGE), EINVAL, 'no vma there');
  });
  t.end();
});

t.test('poll and read of a descriptor that does not block', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    const blocking = yield* open_uffd(m);
    t.equal(yield* do_poll(m, [{ fd: blocking, events: 1, revents: 0 }], 0), 1, 'POLLERR: only for O_NONBLOCK');
    const fd = yield* open_uffd(m, O_NONBLOCK);
    yield* register(m, fd, MAP, PAGE);
    t.equal(yield* ksys_read(m, fd, MSG, 32), EAGAIN);
    t.equal(yield* do_poll(m, [{ fd, events: 1, revents: 0 }], 1000), 0);
    let value = 0;
    yield* kernel_clone(m, THREAD, function* () {
      value = yield* user_load32(m, MAP);
    });
    const list = [{ fd, events: 1, revents: 0 }];
    t.equal(yield* do_poll(m, list, -1), 1);
    t.equal(list[0].revents, 1);
    t.equal(yield* ksys_read(m, fd, MSG, 16), EINVAL, 'too small for a message');
    t.equal(yield* ksys_read(m, fd, MSG, 64), 32);
    t.equal(yield* user_load32(m, MSG), 0x12);
    t.equal(yield* sys_ioctl(m, fd, COPY, yield* words(m, MAP, SRC, PAGE, 0, 0)), 0);
    while (value === 0) yield* sched_yield(m);
    t.equal(value, 0xabababab);
  });
  t.end();
});

t.test('closing the descriptor lets the waiting fault go on like every other fault', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    const fd = yield* open_uffd(m);
    yield* register(m, fd, MAP, PAGE);
    let value = -1;
    yield* kernel_clone(m, THREAD, function* () {
      value = yield* user_load32(m, MAP);
    });
    yield* ksys_read(m, fd, MSG, 32);
    t.equal(value, -1);
    t.equal(yield* do_syscall_64(m, NR_close, fd), 0);
    while (value === -1) yield* sched_yield(m);
    t.equal(value, 0);
    t.equal(
      (m.current.mm as mm_struct).mm_mt.every((v) => v.vm_userfaultfd_ctx === null),
      true,
    );
  });
  t.end();
});

t.test('a kernel access to registered memory waits too, and UFFD_FEATURE_SIGBUS turns faults into signals', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, 2 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    const fd = yield* open_uffd(m);
    yield* register(m, fd, MAP, PAGE);
    const seen: number[] = [];
    yield* handler(m, fd, 1, seen);
    t.equal(yield* copy_to_user(m, MAP + 4, new Uint8Array([1, 2, 3, 4]), 4), 0);
    t.same(seen, [MAP]);
    t.equal(yield* user_load32(m, MAP + 4), 0x04030201);
    const other = yield* open_uffd(m, 0, 1 << 7);
    t.equal(yield* register(m, other, MAP + PAGE, PAGE), 0);
    t.equal(yield* signal_of(user_load32(m, MAP + PAGE)), SIGBUS);
  });
  t.end();
});

t.test('shared memory: the copy goes into the file', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, 2 * PAGE, RW, SHARED | ANON | FIXED, -1, 0);
    const fd = yield* open_uffd(m);
    yield* register(m, fd, MAP, 2 * PAGE);
    const seen: number[] = [];
    yield* handler(m, fd, 1, seen);
    t.equal(yield* user_load32(m, MAP), 0xabababab);
    const mapping = (m.current.mm as mm_struct).mm_mt.find((v) => v.vm_start === MAP)?.vm_file?.f_mapping;
    t.equal(mapping?.nrpages, 1);
  });
  t.end();
});

t.test('hugetlb memory is filled a huge page at a time', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, HUGE, RW, PRIVATE | ANON | FIXED | HUGETLB, -1, 0);
    const fd = yield* open_uffd(m);
    t.equal(yield* register(m, fd, MAP + PAGE, PAGE), EINVAL);
    t.equal(yield* register(m, fd, MAP, HUGE), 0);
    t.equal(yield* sys_ioctl(m, fd, COPY, yield* words(m, MAP, SRC, PAGE, 0, 0)), EINVAL);
    let value = 0;
    yield* kernel_clone(m, THREAD, function* () {
      value = yield* user_load32(m, MAP + 7 * PAGE);
    });
    yield* ksys_read(m, fd, MSG, 32);
    t.equal(yield* user_load64(m, MSG + 16), MAP);
    yield* user_store32(m, SRC + 7 * PAGE, 77);
    t.equal(yield* sys_ioctl(m, fd, COPY, yield* words(m, MAP, SRC, HUGE, 0, 0)), 0);
    while (value === 0) yield* sched_yield(m);
    t.equal(value, 77);
    yield* do_syscall_64(m, NR_munmap, MAP, HUGE);
  });
  t.end();
});

t.test('write protection stops a store until it is lifted', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, 2 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* user_store32(m, MAP, 5);
    const fd = yield* open_uffd(m);
    t.equal(yield* register(m, fd, MAP, PAGE, 2), 0);
    t.equal(yield* sys_ioctl(m, fd, WRITEPROTECT, yield* words(m, MAP, PAGE, 1)), 0);
    t.equal(yield* sys_ioctl(m, fd, WRITEPROTECT, yield* words(m, MAP + PAGE, PAGE, 1)), ENOENT);
    t.equal(yield* user_load32(m, MAP), 5, 'loads go on');
    let done = false;
    yield* kernel_clone(m, THREAD, function* () {
      yield* user_store32(m, MAP, 6);
      done = true;
    });
    yield* ksys_read(m, fd, MSG, 32);
    t.equal(yield* user_load64(m, MSG + 8), 3, 'a write to a protected page');
    t.equal(done, false);
    t.equal(yield* sys_ioctl(m, fd, WRITEPROTECT, yield* words(m, MAP, PAGE, 0)), 0);
    while (!done) yield* sched_yield(m);
    t.equal(yield* user_load32(m, MAP), 6);
  });
  t.end();
});
