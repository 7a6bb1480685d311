// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../arch/x86/entry/syscall_64.ts';
import { user_load32, user_store32 } from '../arch/x86/mm/uaccess.ts';
import { do_sys_open } from '../fs/open.ts';
import { run_process, small_machine } from './testing.ts';

const STACK_TOP = 0x7ffffffff000;
const START_BRK = 0x555555579000;
const PAGE = 4096;
const BRK = 12;

t.test('a fresh process has a stack, a heap that grows by brk, and no descriptors', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      for (const at of [STACK_TOP - 4, STACK_TOP - 132 * 1024]) {
        yield* user_store32(m, at, 5);
        t.equal(yield* user_load32(m, at), 5);
      }
      t.equal(yield* do_syscall_64(m, BRK, 0), START_BRK);
      t.equal(yield* do_syscall_64(m, BRK, START_BRK + 2 * PAGE), START_BRK + 2 * PAGE);
      yield* user_store32(m, START_BRK + PAGE, 6);
      t.equal(yield* user_load32(m, START_BRK + PAGE), 6);
      t.equal(m.current.real_parent, null);
      t.equal(yield* do_sys_open(m, '/dev/null', 0, 0), 0);
    }),
    0,
  );
  t.equal(m.mms.size, 0, 'its address space is gone with it');
  t.end();
});

t.test('there is nothing below the stack', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      yield* user_load32(m, STACK_TOP - 132 * 1024 - 4);
    }),
    11,
  );
  t.end();
});
