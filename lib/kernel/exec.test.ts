// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { runProgram } from '../../harness/libc.ts';
import { small_machine } from './testing.ts';

t.test('a fresh process has a stack, a heap that grows by brk, and no descriptors', (t) => {
  const m = small_machine();
  runProgram(m, function* (c) {
    yield* c.store32(0x7ffffffff000 - 4096, 5);
    t.equal(yield* c.load32(0x7ffffffff000 - 4096), 5);
    const a = yield* c.malloc(100);
    const b = yield* c.malloc(100);
    t.ok(a >= 0x555555579000 && b > a);
    yield* c.free(a);
    t.equal(yield* c.malloc(100), a, 'a freed block is used again');
    t.equal(yield* c.open('/dev/null', 0), 0);
    return 0;
  });
  t.equal(m.mms.size, 0, 'its address space is gone with it');
  t.end();
});
