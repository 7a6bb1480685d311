// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_load32, user_store32 } from '../arch/x86/mm/uaccess.ts';
import { map_anon } from '../mm/testing.ts';
import { rseq_signal_deliver, sys_rseq } from './rseq.ts';
import { run_clean, run_process, small_machine } from './testing.ts';

const MAP = 0x200000000;
const SIG = 0x53053053;
const [EPERM, EFAULT, EBUSY, EINVAL] = [-1, -14, -16, -22];

t.test('a task registers one area, which gets the number of its CPU, and takes it back', async (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, MAP, 1);
    t.equal(yield* sys_rseq(m, MAP + 8, 32, 0, SIG), EINVAL, 'not aligned');
    t.equal(yield* sys_rseq(m, MAP, 16, 0, SIG), EINVAL, 'too short');
    t.equal(yield* sys_rseq(m, MAP, 32, 2, SIG), EINVAL, 'a flag that there is not');
    t.equal(yield* sys_rseq(m, 0x10000, 32, 0, SIG), EFAULT);
    yield* user_store32(m, MAP + 4, 77);
    t.equal(yield* sys_rseq(m, MAP, 32, 0, SIG), 0);
    t.same([yield* user_load32(m, MAP), yield* user_load32(m, MAP + 4)], [m.current.cpu, m.current.cpu]);
    t.equal(yield* sys_rseq(m, MAP, 32, 0, SIG), EBUSY, 'again');
    t.equal(yield* sys_rseq(m, MAP, 32, 0, 1), EPERM, 'with another signature');
    t.equal(yield* sys_rseq(m, MAP + 32, 32, 0, SIG), EINVAL, 'another one');
    yield* rseq_signal_deliver(m);
    t.equal(yield* sys_rseq(m, MAP, 32, 1, 1), EPERM);
    t.equal(yield* sys_rseq(m, MAP, 64, 1, SIG), EINVAL);
    t.equal(yield* sys_rseq(m, MAP, 32, 1, SIG), 0);
    t.equal((yield* user_load32(m, MAP + 4)) >>> 0, 0xffffffff, 'no CPU any more');
  });
});

t.test('a signal in a critical section is not modelled', async (t) => {
  const m = small_machine();
  const run = (): number =>
    run_process(m, function* () {
      yield* map_anon(m, MAP, 1);
      yield* sys_rseq(m, MAP, 32, 0, SIG);
      yield* user_store32(m, MAP + 8, 1);
      yield* rseq_signal_deliver(m);
    });
  t.throws(run, /rseq_update_user_cs/);
});
