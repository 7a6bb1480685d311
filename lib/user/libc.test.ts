// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import type { Gen } from '../kernel/gen.ts';
import { type Asserts, small_machine } from '../kernel/testing.ts';
import { type Libc, runProgram } from './libc.ts';

const PROT_RW = 3;
const MAP_PRIVATE_ANON = 0x22;
const MAP_FAILED = -1;
const [ENOENT, EINVAL] = [2, 22];
const SIGSEGV = 11;

/** Runs a program that must exit with 0. */
function run(t: Asserts & { end(): unknown }, program: (c: Libc) => Gen<void>): void {
  const status = runProgram(small_machine(), function* (c) {
    yield* program(c);
    return 0;
  });
  t.equal(status, 0);
  t.end();
}

t.test('the status is that of wait(2): the exit code above the low byte, or the signal', (t) => {
  const status = (main: (c: Libc) => Gen<number>): number => runProgram(small_machine(), main);
  t.equal(
    status(function* () {
      return 3;
    }),
    3 << 8,
  );
  t.equal(
    status(function* (c) {
      return yield* c.exit(7);
    }),
    7 << 8,
  );
  t.equal(
    status(function* (c) {
      yield* c.store32(0x1000, 1);
      return 0;
    }),
    SIGSEGV,
  );
  t.end();
});

t.test('a call that fails returns -1 and leaves its errno', (t) => {
  run(t, function* (c) {
    t.equal(yield* c.open('/no/such/file', 0), -1);
    t.equal(c.errno, ENOENT);
    t.equal(yield* c.mmap(0, 0, PROT_RW, MAP_PRIVATE_ANON, -1, 0), MAP_FAILED);
    t.equal(c.errno, EINVAL);
    t.equal(yield* c.read_file('/no/such/file'), null);
    t.equal(c.errno, ENOENT);
  });
});

t.test('a system call goes by its number too', (t) => {
  run(t, function* (c) {
    t.equal(yield* c.syscall(39), c.getpid(), 'getpid');
    t.equal(yield* c.syscall(10000), -1);
    t.equal(c.errno, 38, 'ENOSYS');
  });
});

t.test('a text file of the kernel is read whole, and written', (t) => {
  run(t, function* (c) {
    const path = '/sys/kernel/mm/transparent_hugepage/enabled';
    t.equal(yield* c.read_file(path), 'always madvise [never]\n');
    t.equal(yield* c.write_file(path, 'madvise'), 7);
    t.equal(yield* c.read_file(path), 'always [madvise] never\n');
  });
});

t.test('malloc() gives a freed block again, aligned to 16, and large blocks as mappings of their own', (t) => {
  run(t, function* (c) {
    const p = yield* c.malloc(100);
    const q = yield* c.malloc(100);
    t.equal(p % 16, 0);
    t.ok(q >= p + 100, 'blocks do not overlap');
    yield* c.free(p);
    t.equal(yield* c.malloc(100), p);
    const big = yield* c.malloc(1024 * 1024);
    yield* c.store8(big + 1024 * 1024 - 1, 1);
    yield* c.free(big);
    t.equal(yield* c.catch_signal(() => c.store8(big, 1)), SIGSEGV, 'unmapped by free()');
    t.equal((yield* c.aligned_alloc(4096, 10)) % 4096, 0);
  });
});

t.test('a child has a copy of the memory and of the heap; a thread shares them', (t) => {
  run(t, function* (c) {
    const p = yield* c.malloc(4);
    yield* c.store32(p, 1);
    const pid = yield* c.fork(function* (child) {
      yield* child.store32(p, 2);
      return (yield* child.load32(p)) === 2 ? 5 : 6;
    });
    t.same(yield* c.waitpid(pid), { pid, status: 5 << 8 });
    t.equal(yield* c.load32(p), 1);
    const thread = yield* c.pthread_create(function* (own) {
      yield* own.store32(p, 3);
    });
    t.equal(yield* c.pthread_join(thread), 0);
    t.equal(yield* c.load32(p), 3);
  });
});

t.test('what a program prints goes to whoever runs it', (t) => {
  const printed: string[] = [];
  runProgram(
    small_machine(),
    function* (c) {
      c.print('hello ');
      c.print('world\n');
      return 0;
    },
    (text) => printed.push(text),
  );
  t.same(printed, ['hello ', 'world\n']);
  t.end();
});
