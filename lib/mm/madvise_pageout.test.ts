// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { runProgram } from '../../harness/libc.ts';
import * as U from '../../harness/uapi.ts';
import { audit } from '../audit.ts';
import { boot } from '../boot.ts';

const PAGE = 4096;
const MADV_FREE = 8;
const MADV_PAGEOUT = 21;

t.test('without swap only pages that were given away and not written since are dropped', (t) => {
  const m = boot({ mem: 128 * 1024 * 1024 });
  const status = runProgram(m, function* (c) {
    const ptr = yield* c.mmap(0, 4 * PAGE, U.PROT_READ | U.PROT_WRITE, U.MAP_PRIVATE | U.MAP_ANONYMOUS, -1, 0);
    for (let i = 0; i < 4; i++) yield* c.store32(ptr + i * PAGE, i + 1);
    yield* c.madvise(ptr + PAGE, 3 * PAGE, MADV_FREE);
    yield* c.store32(ptr + 2 * PAGE, 30);
    yield* c.load32(ptr + 3 * PAGE);
    t.equal(yield* c.madvise(ptr, 4 * PAGE, MADV_PAGEOUT), 0);
    t.equal(yield* c.load32(ptr), 1, 'never given away');
    t.equal(yield* c.load32(ptr + PAGE), 0, 'given away');
    t.equal(yield* c.load32(ptr + 2 * PAGE), 30, 'written since');
    t.equal(yield* c.load32(ptr + 3 * PAGE), 0, 'only read since');
    return 0;
  });
  t.equal(status, 0);
  t.same(audit(m), []);
  t.end();
});

t.test('a page that a child shares stays', (t) => {
  const m = boot({ mem: 128 * 1024 * 1024 });
  const status = runProgram(m, function* (c) {
    const ptr = yield* c.mmap(0, PAGE, U.PROT_READ | U.PROT_WRITE, U.MAP_PRIVATE | U.MAP_ANONYMOUS, -1, 0);
    yield* c.store32(ptr, 1);
    yield* c.madvise(ptr, PAGE, MADV_FREE);
    const pid = yield* c.fork(function* (child) {
      yield* child.madvise(ptr, PAGE, MADV_PAGEOUT);
      return yield* child.load32(ptr);
    });
    const { status: child } = yield* c.waitpid(pid);
    t.equal(child >> 8, 1);
    return 0;
  });
  t.equal(status, 0);
  t.same(audit(m), []);
  t.end();
});
