// SPDX-License-Identifier: GPL-2.0-only
// The errors of Linux 7.3.4 for invalid arguments, call by call; nothing must be left behind.

import t, { type Test } from 'tap';
import { audit } from '../../lib/audit.ts';
import { boot } from '../../lib/boot.ts';
import { start_process } from '../../lib/kernel/exec.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { load_module } from '../../lib/kernel/module.ts';
import { type Libc, runProgram } from '../../lib/user/libc.ts';

const [EPERM, EBADF, ENOMEM, EACCES, EFAULT, EEXIST, ENODEV, EINVAL, ENOTTY] = [1, 9, 12, 13, 14, 17, 19, 22, 25];
const [OK, EOVERFLOW, EOPNOTSUPP] = [0, 75, 95];
const PAGE = 4096;
const TASK_SIZE = 0x7ffffffff000;
/** The last page of 64 bits, and a length that rounds up to 2^64. */
const [LAST, ROUNDS_TO_ZERO] = [2 ** 64 - PAGE, 2 ** 64 - 2048];
const [NONE, R, W, RW] = [0, 1, 2, 3];
const [SHARED, PRIVATE, SHARED_VALIDATE, FIXED, ANON] = [1, 2, 3, 0x10, 0x20];
const [GROWSDOWN, HUGETLB, SYNC, NOREPLACE] = [0x100, 0x40000, 0x80000, 0x100000];
const [
  DONTNEED,
  FREE,
  DOFORK,
  DODUMP,
  HUGEPAGE,
  WIPEONFORK,
  POPULATE_READ,
  POPULATE_WRITE,
  GUARD_INSTALL,
  GUARD_REMOVE,
] = [4, 8, 11, 17, 14, 18, 22, 23, 102, 103];
const [O_RDONLY, O_WRONLY, O_RDWR] = [0, 1, 2];

// Addresses; nothing is mapped between them.
const [BUF, GAP, AFTER_GAP, READ_ONLY, NO_ACCESS] = [0, 4, 6, 16, 24].map((n) => 0x1000000000 + n * PAGE);
const [MIRROR, CMD, SHM, DEV, NOWHERE] = [0x1100000000, 0x1200000000, 0x1300000000, 0x1400000000, 0x1500000000];
const WORD = 0x600d;

function* map(c: Libc, at: number, npages: number, prot: number, flags = PRIVATE | ANON, fd = -1): Gen<void> {
  if ((yield* c.mmap(at, npages * PAGE, prot, flags | FIXED, fd, 0)) !== at) throw new Error(`mmap: errno ${c.errno}`);
}

function* ground(c: Libc): Gen<void> {
  yield* map(c, BUF, 4, RW);
  yield* map(c, AFTER_GAP, 2, RW);
  yield* map(c, READ_ONLY, 1, RW);
  yield* c.store32(READ_ONLY, WORD);
  yield* c.mprotect(READ_ONLY, PAGE, R);
  yield* map(c, NO_ACCESS, 1, NONE);
  yield* map(c, MIRROR, 4, RW);
  yield* map(c, CMD, 1, RW);
  yield* map(c, SHM, 4, RW, SHARED | ANON);
}

/** Boots with the driver, runs the program, and checks that it left nothing behind. */
function run(t: Test, program: (c: Libc) => Gen<void>): void {
  const m = boot({ mem: 1024 * 1024 * 1024, thp: 'never' });
  const modprobe = start_process(m, 'modprobe', function* () {
    t.equal(yield* load_module(m, 'test_hmm'), 0);
  });
  m.sched.run(() => modprobe.exit_state !== 'alive');
  const free = m.zone.nr_free;
  t.equal(
    runProgram(m, function* (c) {
      yield* ground(c);
      yield* program(c);
      // Pages in an LRU batch would be freed later; populating drains the CPU's batches.
      yield* c.munmap(SHM, 9 * PAGE);
      yield* c.madvise(CMD, PAGE, POPULATE_READ);
      return 0;
    }),
    0,
  );
  t.same(audit(m), []);
  t.equal(m.zone.nr_free, free, 'every page is free again');
  t.same([m.log.warnings, m.log.oopses], [[], []]);
}

/** Runs an ioctl of the driver. Returns 0 or the errno. */
function* command(
  c: Libc,
  fd: number,
  request: number,
  addr: number,
  npages: number,
  ptr = MIRROR,
  at = CMD,
): Gen<number> {
  yield* c.store64(CMD, addr);
  yield* c.store64(CMD + 8, ptr);
  yield* c.store64(CMD + 16, npages);
  return (yield* c.ioctl(fd, request, at)) === 0 ? 0 : c.errno;
}

const HMM = 0xc0284800;
const [READ, WRITE, TO_DEV, TO_SYS, SNAPSHOT, EXCLUSIVE, CHECK_EXCLUSIVE, RELEASE, FLAGS, READ_UNLOCKED] = Array.from(
  { length: 10 },
  (_, nr) => HMM + nr,
);

// Errors of a command for a range where nothing is mapped, for one of the kernel's, for no memory for its data, for
// read-only memory, for memory without access, and for 2^40 pages. SNAPSHOT runs until its bytes cannot be stored.
type Errnos = [unmapped: number, kernel: number, no_data: number, read_only: number, no_access: number, huge: number];
const commands: [name: string, request: number, ...Errnos][] = [
  ['READ', READ, EFAULT, EFAULT, EFAULT, OK, EFAULT, ENOMEM],
  ['READ_UNLOCKED', READ_UNLOCKED, EFAULT, EFAULT, EFAULT, OK, EFAULT, ENOMEM],
  ['WRITE', WRITE, EFAULT, EFAULT, EFAULT, EPERM, EFAULT, ENOMEM],
  ['MIGRATE_TO_DEV', TO_DEV, EINVAL, EINVAL, EFAULT, OK, EINVAL, EINVAL],
  ['MIGRATE_TO_SYS', TO_SYS, EINVAL, EINVAL, OK, OK, EINVAL, EINVAL],
  ['SNAPSHOT', SNAPSHOT, OK, OK, EFAULT, OK, OK, EFAULT],
  ['EXCLUSIVE', EXCLUSIVE, EFAULT, EFAULT, EFAULT, EFAULT, EFAULT, EFAULT],
  ['CHECK_EXCLUSIVE', CHECK_EXCLUSIVE, OK, OK, OK, OK, OK, OK],
  ['RELEASE', RELEASE, OK, OK, OK, OK, OK, OK],
  ['FLAGS', FLAGS, OK, OK, OK, OK, OK, OK],
];

t.test('every command of the driver', (t) => {
  run(t, function* (c) {
    const fd = yield* c.open('/dev/hmm_dmirror0', O_RDWR);
    const zero = yield* c.open('/dev/zero', O_RDWR);
    const closed = yield* c.open('/dev/hmm_dmirror0', O_RDWR);
    yield* c.close(closed);
    for (const [name, request, unmapped, kernel, no_data, read_only, no_access, huge] of commands) {
      const rows: [what: string, errno: number, fd: number, addr: number, npages: number, ptr: number, at: number][] = [
        ['an address beside a page', EINVAL, fd, BUF + 8, 2, MIRROR, CMD],
        ['no pages', EINVAL, fd, BUF, 0, MIRROR, CMD],
        ['pages that are 0 bytes in 64 bits', EINVAL, fd, BUF, 2 ** 52, MIRROR, CMD],
        ['a range that wraps', EINVAL, fd, BUF, 2 ** 52 - 1, MIRROR, CMD],
        ['an end that is 0 in 64 bits', EINVAL, fd, LAST - PAGE, 2, MIRROR, CMD],
        ['nothing mapped', unmapped, fd, NOWHERE, 2, MIRROR, CMD],
        ['an address of the kernel', kernel, fd, LAST - 2 * PAGE, 2, MIRROR, CMD],
        ['no mirror', no_data, fd, BUF, 4, NOWHERE, CMD],
        ['half a mirror', request === SNAPSHOT ? OK : no_data, fd, BUF, 4, MIRROR + 2 * PAGE, CMD],
        ['memory to read only', read_only, fd, READ_ONLY, 1, MIRROR, CMD],
        ['memory without access', no_access, fd, NO_ACCESS, 1, MIRROR, CMD],
        ['too many pages', huge, fd, BUF, 2 ** 40, MIRROR, CMD],
        ['no command', EFAULT, fd, BUF, 4, MIRROR, NOWHERE],
        ['half a command', EFAULT, fd, BUF, 4, MIRROR, CMD + PAGE - 16],
        ['a command of the kernel', EFAULT, fd, BUF, 4, MIRROR, LAST],
        ['a closed descriptor', EBADF, closed, BUF, 4, MIRROR, CMD],
        ['no descriptor', EBADF, -1, BUF, 4, MIRROR, CMD],
        ['another driver', ENOTTY, zero, BUF, 4, MIRROR, CMD],
      ];
      for (const [what, errno, at_fd, addr, npages, ptr, at] of rows) {
        for (let i = 0; i < 4; i++) {
          yield* c.store32(BUF + i * PAGE, WORD + i);
          yield* c.store32(MIRROR + i * PAGE, WORD + i);
        }
        t.equal(yield* command(c, at_fd, request, addr, npages, ptr, at), errno, `${name}: ${what}`);
        for (let i = 0; i < 4; i++)
          if ((yield* c.load32(BUF + i * PAGE)) !== WORD + i) t.fail(`${name}: ${what}: page ${i} changed`);
        if ((yield* c.load32(READ_ONLY)) !== WORD) t.fail(`${name}: ${what}: the read-only page changed`);
      }
    }
    t.equal(yield* command(c, fd, EXCLUSIVE, SHM, 1), EOPNOTSUPP, 'EXCLUSIVE: shared memory');
    for (const bad of [HMM + 10, HMM + 0x20, HMM - 0x100, 0xc0204800, 0x80284800, 0x4800, 0]) {
      t.equal(yield* command(c, fd, bad, BUF, 4), EINVAL, `command 0x${bad.toString(16)}`);
      t.equal(yield* command(c, fd, bad, BUF, 4, MIRROR, NOWHERE), EFAULT, 'what is wrong with the struct comes first');
    }

    t.equal(yield* command(c, fd, EXCLUSIVE, BUF, 4), OK);
    t.equal(yield* command(c, fd, CHECK_EXCLUSIVE, BUF, 4), EPERM, 'the pages are exclusive');
    t.equal(yield* command(c, fd, TO_DEV, BUF, 4), OK, 'a good command still works');
    t.equal(yield* c.load64(CMD + 24), 4);
    t.equal(yield* c.load32(MIRROR + 3 * PAGE), WORD + 3);
    t.equal(yield* command(c, fd, TO_SYS, BUF, 4), OK);
    t.equal(yield* c.load32(BUF + 3 * PAGE), WORD + 3);
  });
  t.end();
});

type Descriptors = Record<'zero' | 'zero_ro' | 'zero_wo' | 'null' | 'dir' | 'event' | 'file' | 'dev', number>;
type Call = (c: Libc, fds: Descriptors) => Gen<number>;
type Rows = [what: string, errno: number, call: Call][];

const OVER_FD = 999;

const mmap_rows: Rows = [
  ['no bytes', EINVAL, (c) => c.mmap(0, 0, RW, PRIVATE | ANON, -1, 0)],
  ['no bytes of a file', EINVAL, (c, f) => c.mmap(0, 0, RW, PRIVATE, f.file, 0)],
  ['a length that rounds up to 2^64', ENOMEM, (c) => c.mmap(0, ROUNDS_TO_ZERO, RW, PRIVATE | ANON, -1, 0)],
  ['a length of nearly 2^64', ENOMEM, (c) => c.mmap(0, LAST, RW, PRIVATE | ANON, -1, 0)],
  ['more than there are addresses', ENOMEM, (c) => c.mmap(0, TASK_SIZE + 1, RW, PRIVATE | ANON, -1, 0)],
  ['fixed beside a page', EINVAL, (c) => c.mmap(NOWHERE + 8, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0)],
  ['fixed at the end of user space', ENOMEM, (c) => c.mmap(TASK_SIZE, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0)],
  ['fixed across the end', ENOMEM, (c) => c.mmap(TASK_SIZE - PAGE, 2 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0)],
  ['fixed in the kernel', ENOMEM, (c) => c.mmap(LAST, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0)],
  ['fixed where something is', EEXIST, (c) => c.mmap(BUF + 3 * PAGE, 2 * PAGE, RW, PRIVATE | ANON | NOREPLACE, -1, 0)],
  ['neither private nor shared', EINVAL, (c) => c.mmap(0, PAGE, RW, ANON, -1, 0)],
  ['neither private nor shared, of a file', EINVAL, (c, f) => c.mmap(0, PAGE, RW, 0, f.file, 0)],
  ['an unknown type', EINVAL, (c) => c.mmap(0, PAGE, RW, 4 | ANON, -1, 0)],
  ['anonymous and validated', EINVAL, (c) => c.mmap(0, PAGE, RW, SHARED_VALIDATE | ANON, -1, 0)],
  ['no descriptor', EBADF, (c) => c.mmap(0, PAGE, RW, PRIVATE, -1, 0)],
  ['a closed descriptor', EBADF, (c) => c.mmap(0, PAGE, RW, PRIVATE, OVER_FD, 0)],
  ['an offset beside a page', EINVAL, (c, f) => c.mmap(0, PAGE, RW, PRIVATE, f.file, 8)],
  ['an offset beside a page, before the descriptor', EINVAL, (c) => c.mmap(0, PAGE, RW, PRIVATE, -1, 8)],
  ['an offset beyond any file', EOVERFLOW, (c, f) => c.mmap(0, PAGE, RW, SHARED, f.file, 2 ** 63)],
  ['an end at 2^63', EOVERFLOW, (c, f) => c.mmap(0, PAGE, RW, SHARED, f.file, 2 ** 63 - PAGE)],
  ['an end at 2^64 of a device', EOVERFLOW, (c, f) => c.mmap(0, PAGE, RW, SHARED, f.dev, LAST)],
  ['a directory', ENODEV, (c, f) => c.mmap(0, PAGE, R, PRIVATE, f.dir, 0)],
  ['a device that cannot', ENODEV, (c, f) => c.mmap(0, PAGE, R, PRIVATE, f.null, 0)],
  ['an eventfd', ENODEV, (c, f) => c.mmap(0, PAGE, R, SHARED, f.event, 0)],
  ['shared for writing, opened for reading', EACCES, (c, f) => c.mmap(0, PAGE, RW, SHARED, f.zero_ro, 0)],
  ['shared, opened for writing', EACCES, (c, f) => c.mmap(0, PAGE, R, SHARED, f.zero_wo, 0)],
  ['private, opened for writing', EACCES, (c, f) => c.mmap(0, PAGE, W, PRIVATE, f.zero_wo, 0)],
  ['a flag that the file must know', EOPNOTSUPP, (c, f) => c.mmap(0, PAGE, R, SHARED_VALIDATE | SYNC, f.zero, 0)],
  ['a growing file', EINVAL, (c, f) => c.mmap(0, PAGE, R, PRIVATE | GROWSDOWN, f.file, 0)],
  ['growing and shared', EINVAL, (c) => c.mmap(0, PAGE, R, SHARED | ANON | GROWSDOWN, -1, 0)],
  ['huge pages of a small file', EINVAL, (c, f) => c.mmap(0, PAGE, R, PRIVATE | HUGETLB, f.file, 0)],
  ['huge pages of 8 KiB', EINVAL, (c) => c.mmap(0, PAGE, R, PRIVATE | ANON | HUGETLB | (13 << 26), -1, 0)],
  ['huge pages of an empty pool', ENOMEM, (c) => c.mmap(0, PAGE, R, PRIVATE | ANON | HUGETLB, -1, 0)],
];

const munmap_rows: Rows = [
  ['beside a page', EINVAL, (c) => c.munmap(BUF + 8, PAGE)],
  ['no bytes', EINVAL, (c) => c.munmap(BUF, 0)],
  ['a length that rounds up to 2^64', EINVAL, (c) => c.munmap(BUF, ROUNDS_TO_ZERO)],
  ['a range that wraps', EINVAL, (c) => c.munmap(BUF, LAST)],
  ['across the end of user space', EINVAL, (c) => c.munmap(TASK_SIZE - PAGE, 2 * PAGE)],
  ['no bytes at the end of user space', EINVAL, (c) => c.munmap(TASK_SIZE, 0)],
  ['a byte at the end of user space', EINVAL, (c) => c.munmap(TASK_SIZE, 1)],
  ['the kernel', EINVAL, (c) => c.munmap(LAST, PAGE)],
  ['where nothing is', OK, (c) => c.munmap(NOWHERE, 4 * PAGE)],
];

const [PROT_SEM, PROT_GROWSDOWN, PROT_GROWSUP] = [8, 0x01000000, 0x02000000];

const mprotect_rows: Rows = [
  ['beside a page', EINVAL, (c) => c.mprotect(BUF + 8, PAGE, R)],
  ['no bytes beside a page', EINVAL, (c) => c.mprotect(BUF + 8, 0, R)],
  ['no bytes', OK, (c) => c.mprotect(BUF, 0, R)],
  ['no bytes where nothing is', OK, (c) => c.mprotect(NOWHERE, 0, R)],
  ['a length that rounds up to 2^64', ENOMEM, (c) => c.mprotect(BUF, ROUNDS_TO_ZERO, R)],
  ['a range that wraps', ENOMEM, (c) => c.mprotect(BUF, LAST, R)],
  ['an end at 2^64', ENOMEM, (c) => c.mprotect(LAST, PAGE, R)],
  ['beyond user space', ENOMEM, (c) => c.mprotect(TASK_SIZE, PAGE, R)],
  ['where nothing is', ENOMEM, (c) => c.mprotect(NOWHERE, PAGE, R)],
  ['a hole at the start', ENOMEM, (c) => c.mprotect(GAP, 4 * PAGE, R)],
  ['a hole at the end', ENOMEM, (c) => c.mprotect(BUF, 5 * PAGE, RW)],
  ['a hole between', ENOMEM, (c) => c.mprotect(BUF, 8 * PAGE, RW)],
  ['an unknown right', EINVAL, (c) => c.mprotect(BUF, PAGE, R | 0x10)],
  ['an unknown right of a range that wraps', ENOMEM, (c) => c.mprotect(BUF, LAST, 0x10)],
  ['an unknown right where nothing is', EINVAL, (c) => c.mprotect(NOWHERE, PAGE, 0x10)],
  ['the right to semaphores', OK, (c) => c.mprotect(BUF, PAGE, RW | PROT_SEM)],
  ['down and up', EINVAL, (c) => c.mprotect(BUF, PAGE, R | PROT_GROWSDOWN | PROT_GROWSUP)],
  ['down to the start of what does not grow', EINVAL, (c) => c.mprotect(BUF, PAGE, R | PROT_GROWSDOWN)],
  ['up to the end of what does not grow', EINVAL, (c) => c.mprotect(BUF, PAGE, R | PROT_GROWSUP)],
  ['writing to a file opened for reading', EACCES, (c) => c.mprotect(SHM + 8 * PAGE, PAGE, RW)],
];

const madvise_rows: Rows = [
  ...[-1, 5, 6, 7, 26, 99, 104].map((advice): Rows[number] => [
    `advice ${advice}`,
    EINVAL,
    (c) => c.madvise(BUF, PAGE, advice),
  ]),
  ['an unknown advice on nothing', EINVAL, (c) => c.madvise(BUF, 0, 5)],
  ...[DONTNEED, FREE, HUGEPAGE, POPULATE_READ, POPULATE_WRITE, GUARD_INSTALL, GUARD_REMOVE].flatMap(
    (advice): Rows => [
      [`${advice} beside a page`, EINVAL, (c) => c.madvise(BUF + 8, PAGE, advice)],
      [`${advice} on no bytes beside a page`, EINVAL, (c) => c.madvise(BUF + 8, 0, advice)],
      [`${advice} on no bytes`, OK, (c) => c.madvise(BUF, 0, advice)],
      [`${advice} on no bytes where nothing is`, OK, (c) => c.madvise(NOWHERE, 0, advice)],
      [`${advice} on a length that rounds up to 2^64`, EINVAL, (c) => c.madvise(BUF, ROUNDS_TO_ZERO, advice)],
      [`${advice} on a range that wraps`, EINVAL, (c) => c.madvise(BUF, LAST, advice)],
      [`${advice} up to 2^64`, EINVAL, (c) => c.madvise(LAST, PAGE, advice)],
      [`${advice} where nothing is`, ENOMEM, (c) => c.madvise(NOWHERE, PAGE, advice)],
      [`${advice} beyond user space`, ENOMEM, (c) => c.madvise(TASK_SIZE, PAGE, advice)],
      [`${advice} on a hole at the start`, ENOMEM, (c) => c.madvise(GAP + PAGE, 3 * PAGE, advice)],
    ],
  ),
  ['DONTNEED across a hole', ENOMEM, (c) => c.madvise(AFTER_GAP + PAGE, 11 * PAGE, DONTNEED)],
  ['FREE of shared memory', EINVAL, (c) => c.madvise(SHM, PAGE, FREE)],
  ['WIPEONFORK of shared memory', EINVAL, (c) => c.madvise(SHM, PAGE, WIPEONFORK)],
  ['POPULATE_WRITE of memory to read only', EINVAL, (c) => c.madvise(READ_ONLY, PAGE, POPULATE_WRITE)],
  ['POPULATE_READ without access', EINVAL, (c) => c.madvise(NO_ACCESS, PAGE, POPULATE_READ)],
  ['DOFORK of device pages', EINVAL, (c) => c.madvise(DEV, PAGE, DOFORK)],
  ['DODUMP of device pages', EINVAL, (c) => c.madvise(DEV, PAGE, DODUMP)],
  ['GUARD_INSTALL over device pages', EINVAL, (c) => c.madvise(DEV, PAGE, GUARD_INSTALL)],
];

const [MAYMOVE, MFIXED, DONTUNMAP] = [1, 2, 4];
const LEN = 4 * PAGE;

const mremap_rows: Rows = [
  ['beside a page', EINVAL, (c) => c.mremap(BUF + 8, LEN, LEN, MAYMOVE)],
  ['to no bytes', EINVAL, (c) => c.mremap(BUF, LEN, 0, MAYMOVE)],
  ['to a length that rounds up to 2^64', EINVAL, (c) => c.mremap(BUF, LEN, ROUNDS_TO_ZERO, MAYMOVE)],
  ['to more than there are addresses', EINVAL, (c) => c.mremap(BUF, LEN, TASK_SIZE + 1, MAYMOVE)],
  ['to all addresses', ENOMEM, (c) => c.mremap(BUF, LEN, TASK_SIZE, MAYMOVE)],
  ['an unknown flag', EINVAL, (c) => c.mremap(BUF, LEN, LEN, 8)],
  ['a copy of private memory', EINVAL, (c) => c.mremap(BUF, 0, LEN, MAYMOVE)],
  [
    'a copy of private memory, of a length that rounds up to 2^64',
    EINVAL,
    (c) => c.mremap(BUF, ROUNDS_TO_ZERO, LEN, MAYMOVE),
  ],
  ['nothing', EFAULT, (c) => c.mremap(NOWHERE, LEN, LEN, 0)],
  ['nothing, to more', EFAULT, (c) => c.mremap(NOWHERE, LEN, 2 * LEN, MAYMOVE)],
  ['nothing, to a place', EFAULT, (c) => c.mremap(NOWHERE, LEN, LEN, MAYMOVE | MFIXED, NOWHERE + 0x1000000)],
  ['beyond user space', EFAULT, (c) => c.mremap(TASK_SIZE, LEN, 2 * LEN, MAYMOVE)],
  ['across the end of the mapping', EFAULT, (c) => c.mremap(BUF, 5 * PAGE, 6 * PAGE, MAYMOVE)],
  ['a range that wraps', EINVAL, (c) => c.mremap(BUF, LAST, LEN, MAYMOVE)],
  ['no room, and not to be moved', ENOMEM, (c) => c.mremap(BUF, LEN, 7 * PAGE, 0)],
  ['to a place, without moving', EINVAL, (c) => c.mremap(BUF, LEN, LEN, MFIXED, NOWHERE)],
  ['to a place beside a page', EINVAL, (c) => c.mremap(BUF, LEN, LEN, MAYMOVE | MFIXED, NOWHERE + 8)],
  [
    'to a place across the end of user space',
    EINVAL,
    (c) => c.mremap(BUF, LEN, LEN, MAYMOVE | MFIXED, TASK_SIZE - PAGE),
  ],
  ['to a place in the kernel', EINVAL, (c) => c.mremap(BUF, LEN, LEN, MAYMOVE | MFIXED, LAST)],
  ['onto itself', EINVAL, (c) => c.mremap(BUF, LEN, LEN, MAYMOVE | MFIXED, BUF)],
  ['over its end', EINVAL, (c) => c.mremap(BUF, LEN, LEN, MAYMOVE | MFIXED, BUF + 3 * PAGE)],
  ['kept, without moving', EINVAL, (c) => c.mremap(BUF, LEN, LEN, DONTUNMAP)],
  ['kept, and another size', EINVAL, (c) => c.mremap(BUF, LEN, 2 * LEN, MAYMOVE | DONTUNMAP)],
];

t.test('every call that changes the address space', (t) => {
  run(t, function* (c) {
    const fds = {
      zero: yield* c.open('/dev/zero', O_RDWR),
      zero_ro: yield* c.open('/dev/zero', O_RDONLY),
      zero_wo: yield* c.open('/dev/zero', O_WRONLY),
      null: yield* c.open('/dev/null', O_RDWR),
      dir: yield* c.open('/tmp', O_RDONLY),
      event: yield* c.eventfd(0, 0),
      file: yield* c.open('/tmp', 0o20200000 | O_RDWR, 0o600),
      dev: yield* c.open('/dev/hmm_dmirror0', O_RDWR),
    };
    yield* map(c, SHM + 8 * PAGE, 1, R, SHARED, fds.zero_ro);
    yield* map(c, DEV, 1, R, SHARED, fds.dev);
    yield* c.read_file('/proc/self/maps');
    const before = yield* c.read_file('/proc/self/maps');
    const calls = {
      mmap: mmap_rows,
      munmap: munmap_rows,
      mprotect: mprotect_rows,
      madvise: madvise_rows,
      mremap: mremap_rows,
    };
    for (const [name, rows] of Object.entries(calls)) {
      for (const [what, errno, call] of rows) {
        for (let i = 0; i < 4; i++) yield* c.store32(BUF + i * PAGE, WORD + i);
        const ret = yield* call(c, fds);
        t.equal(ret === -1 ? c.errno : OK, errno, `${name}: ${what}`);
        const maps: string | null = yield* c.read_file('/proc/self/maps');
        if (maps !== before) t.fail(`${name}: ${what}: the mappings changed`);
        for (let i = 0; i < 4; i++)
          if ((yield* c.load32(BUF + i * PAGE)) !== WORD + i) t.fail(`${name}: ${what}: page ${i} changed`);
      }
    }

    const at = yield* c.mmap(0, LEN, RW, PRIVATE | ANON, -1, 0);
    yield* c.store32(at, 7);
    const moved = yield* c.mremap(at, LEN, LEN, MAYMOVE | MFIXED, NOWHERE);
    t.equal(moved, NOWHERE, 'good calls still work');
    t.equal(yield* c.load32(moved), 7);
    t.equal(yield* c.mprotect(moved, PAGE, R), 0);
    t.equal(yield* c.madvise(moved, PAGE, DONTNEED), 0);
    t.equal(yield* c.load32(moved), 0);
    t.equal(yield* command(c, fds.dev, READ, moved, 4), OK);
    t.equal(yield* c.munmap(moved, LEN), 0);
  });
  t.end();
});
