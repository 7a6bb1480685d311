// SPDX-License-Identifier: GPL-2.0-only

import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { pte_pfn } from '../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_load64, user_store32, user_store64 } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { sys_ioctl } from '../fs/ioctl.ts';
import { do_sys_open, ksys_close } from '../fs/open.ts';
import { walk_address } from '../inspect.ts';
import type { Gen } from '../kernel/gen.ts';
import { run_clean, small_machine } from '../kernel/testing.ts';
import { lru_add_drain_all } from '../mm/folio.ts';
import type { mm_struct } from '../mm/mm_types.ts';
import { pfn_to_page } from '../mm/page.ts';
import t from 'tap';

// From mm/gup_test.h, declared again.
const [GUP_FAST, PIN_FAST, PIN_LONGTERM, GUP_BASIC, PIN_BASIC, DUMP] = [1, 2, 3, 4, 5, 6].map((nr) => 0xc0506700 + nr);
const [START, STOP, READ] = [0x40186707, 0x6708, 0x40086709];
const [USE_WRITE, USE_FAST, FOLL_WRITE] = [1, 2, 1];
const [EFAULT, ENOMEM, EINVAL] = [-14, -12, -22];
const PAGE = 4096;
const [BUF, CMD, OUT] = [0x200000000, 0x300000000, 0x310000000];
/** References of one pin. */
const GUP_PIN_COUNTING_BIAS = 1024;

function run(body: (m: Machine, fd: number) => Gen<void>): Machine {
  return run_clean(t, small_machine(), function* (m) {
    yield* sys_mmap(m, BUF, 4 * PAGE, 3, 0x32, -1, 0);
    yield* sys_mmap(m, CMD, PAGE, 3, 0x32, -1, 0);
    yield* sys_mmap(m, OUT, 4 * PAGE, 3, 0x32, -1, 0);
    for (let i = 0; i < 4; i++) yield* user_store32(m, BUF + i * PAGE, 70 + i);
    yield* lru_add_drain_all(m);
    yield* body(m, yield* do_sys_open(m, '/sys/kernel/debug/gup_test', 2, 0));
  });
}

/** Returns the result of the ioctl; how far it came is in the structure. */
function* gup(
  m: Machine,
  fd: number,
  cmd: number,
  addr: number,
  size: number,
  per_call: number,
  flags = 0,
  test_flags = 0,
): Gen<number> {
  yield* user_store64(m, CMD + 16, addr);
  yield* user_store64(m, CMD + 24, size);
  for (const [at, v] of [
    [32, per_call],
    [36, flags],
    [40, test_flags],
  ])
    yield* user_store32(m, CMD + at, v);
  return yield* sys_ioctl(m, fd, cmd, CMD);
}

function* longterm(m: Machine, fd: number, addr: number, size: number, flags: number): Gen<number> {
  yield* user_store64(m, CMD, addr);
  yield* user_store64(m, CMD + 8, size);
  yield* user_store32(m, CMD + 16, flags);
  return yield* sys_ioctl(m, fd, START, CMD);
}

function refs(m: Machine, addr: number): number {
  return m.page._refcount[pfn_to_page(m, pte_pfn(walk_address(m.current.mm as mm_struct, addr).entry))];
}

t.test('every way to get pages takes all of them and gives them back', (t) => {
  const m = run(function* (m, fd) {
    for (const cmd of [GUP_FAST, PIN_FAST, PIN_LONGTERM, GUP_BASIC, PIN_BASIC, DUMP]) {
      t.equal(yield* gup(m, fd, cmd, BUF, 4 * PAGE, 3, FOLL_WRITE), 0);
      t.equal(yield* user_load64(m, CMD + 24), 4 * PAGE, 'as much as was asked for');
      yield* lru_add_drain_all(m);
      t.same(
        [0, 1, 2, 3].map((i) => refs(m, BUF + i * PAGE)),
        [1, 1, 1, 1],
      );
    }
    t.equal(yield* gup(m, fd, GUP_BASIC, BUF + 2 * PAGE, 4 * PAGE, 2), 0);
    t.equal(yield* user_load64(m, CMD + 24), 2 * PAGE, 'the rest is not mapped');
    t.equal(yield* gup(m, fd, PIN_BASIC, BUF + 4 * PAGE, 4 * PAGE, 2), 0, 'nor is any of it here');
    t.equal(yield* user_load64(m, CMD + 24), 0);
  });
  t.same(m.log.warnings, []);
  t.end();
});

t.test('a dump names the pages that were asked for, and zeroes numbers out of range', (t) => {
  const m = run(function* (m, fd) {
    for (const [i, which] of [1, 0, 5, 4].entries()) yield* user_store32(m, CMD + 44 + 4 * i, which);
    t.equal(yield* gup(m, fd, DUMP, BUF, 4 * PAGE, 4, 0, 1), 0);
    const which: number[] = [];
    for (let i = 0; i < 4; i++) which.push(yield* user_load32(m, CMD + 44 + 4 * i));
    t.same(which, [1, 0, 0, 4]);
  });
  const lines = m.log.lines;
  t.equal(lines[0], 'ZEROING due to out of range: .which_pages[2]: 5');
  t.same(
    lines.filter((l) => l.startsWith('----')).map((l) => l.slice(0, 11)),
    ['---- page #', '---- page #'],
  );
  t.match(lines[2], /refcount:1025 mapcount:1 /, 'while it is pinned');
  t.end();
});

t.test('pins for long stay until they are stopped or the file is closed', (t) => {
  run(function* (m, fd) {
    t.equal(yield* sys_ioctl(m, fd, READ, CMD), EINVAL, 'nothing is pinned');
    t.equal(yield* sys_ioctl(m, fd, STOP, 0), 0);
    for (const flags of [USE_WRITE, USE_WRITE | USE_FAST]) {
      t.equal(yield* longterm(m, fd, BUF, 4 * PAGE, flags), 0);
      t.equal(refs(m, BUF + 3 * PAGE), 1 + GUP_PIN_COUNTING_BIAS);
      t.equal(yield* longterm(m, fd, BUF, PAGE, flags), EINVAL, 'one at a time');
      yield* user_store32(m, BUF + 2 * PAGE, 900);
      yield* user_store64(m, CMD, OUT);
      t.equal(yield* sys_ioctl(m, fd, READ, CMD), 0);
      t.same(
        [yield* user_load32(m, OUT + 2 * PAGE), yield* user_load32(m, OUT + 3 * PAGE)],
        [900, 73],
        'what is read is the pages as they are',
      );
      yield* user_store64(m, CMD, OUT + PAGE);
      t.equal(yield* sys_ioctl(m, fd, READ, CMD), EFAULT, 'no room for the last');
      t.equal(yield* sys_ioctl(m, fd, STOP, 0), 0);
      t.equal(refs(m, BUF + 3 * PAGE), 1);
    }
    t.equal(yield* longterm(m, fd, BUF, PAGE, 0), 0);
    t.equal(yield* ksys_close(m, fd), 0);
    t.equal(refs(m, BUF), 1);
  });
  t.end();
});

t.test('what it refuses', (t) => {
  run(function* (m, fd) {
    t.equal(yield* sys_ioctl(m, fd, 0xc050670a, CMD), EINVAL);
    t.equal(yield* sys_ioctl(m, fd, GUP_BASIC, 0x1000), EFAULT);
    t.equal(yield* sys_ioctl(m, fd, START, 0x1000), EFAULT);
    t.equal(yield* gup(m, fd, GUP_BASIC, 2 ** 64 - PAGE, PAGE, 1), EINVAL, 'a range that wraps');
    t.equal(yield* gup(m, fd, GUP_BASIC, BUF, 2 ** 38, 1), ENOMEM, 'more pointers than there is memory');
    t.equal(yield* longterm(m, fd, BUF, 4 * PAGE, 4), EINVAL);
    t.equal(yield* longterm(m, fd, BUF + 8, PAGE, 0), EINVAL);
    t.equal(yield* longterm(m, fd, BUF, 8, 0), EINVAL);
    t.equal(yield* longterm(m, fd, BUF, 0, 0), EINVAL);
    t.equal(yield* longterm(m, fd, BUF, 2 ** 63, 0), EINVAL);
    t.equal(yield* longterm(m, fd, BUF, 5 * PAGE, USE_WRITE), EFAULT, 'the last page is not mapped');
    t.equal(refs(m, BUF), 1, 'the others were let go');
    t.equal(yield* longterm(m, fd, BUF, 4 * PAGE, USE_WRITE), 0, 'a failure leaves it ready');
  });
  t.end();
});
