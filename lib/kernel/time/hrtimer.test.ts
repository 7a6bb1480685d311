// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../../arch/x86/entry/syscall_64.ts';
import { user_store64 } from '../../arch/x86/mm/uaccess.ts';
import { run_process, small_machine } from '../testing.ts';

const NANOSLEEP = 35;
const STACK = 0x7ffffffff000 - 4096;

t.test('a sleep takes modelled time, not ours', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      const before = m.sched.now;
      yield* user_store64(m, STACK, 3);
      yield* user_store64(m, STACK + 8, 1000);
      t.equal(yield* do_syscall_64(m, NANOSLEEP, STACK), 0);
      t.ok(m.sched.now - before >= 3e9 + 1000);
    }),
    0,
  );
  t.end();
});
