// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_load64, user_store64 } from '../../arch/x86/mm/uaccess.ts';
import { map_anon } from '../../mm/testing.ts';
import { run_clean, run_process, small_machine } from '../testing.ts';
import { sys_clock_getres, sys_clock_gettime, sys_clock_nanosleep, timespec_bytes } from './posix-timers.ts';

const MAP = 0x200000000;
const [REALTIME, MONOTONIC, CPU, COARSE] = [0, 1, 2, 6];
const [EFAULT, EINVAL] = [-14, -22];

t.test('clocks show modelled time', async (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, MAP, 1);
    m.sched.spend(3_000_000_007);
    yield* user_store64(m, MAP, 0);
    const before = Math.floor(m.sched.now);
    t.equal(yield* sys_clock_gettime(m, MONOTONIC, MAP), 0);
    const [sec, nsec] = [yield* user_load64(m, MAP), yield* user_load64(m, MAP + 8)].map(Number);
    t.ok(sec * 1e9 + nsec >= before && sec * 1e9 + nsec <= m.sched.now, `${sec} s and ${nsec} ns`);
    t.equal(yield* sys_clock_gettime(m, REALTIME, MAP), 0);
    t.equal(Number(yield* user_load64(m, MAP)), Math.floor(m.wall_clock() / 1e9));
    t.equal(yield* sys_clock_getres(m, COARSE, MAP), 0);
    t.equal(Number(yield* user_load64(m, MAP + 8)), 4_000_000);
    t.equal(yield* sys_clock_getres(m, MONOTONIC, 0), 0);
    t.equal(yield* sys_clock_gettime(m, 16, MAP), EINVAL);
    t.equal(yield* sys_clock_gettime(m, MONOTONIC, 0x1000), EFAULT);
  });
  const m = small_machine();
  t.throws(() => run_process(m, () => sys_clock_gettime(m, CPU, 0)), { name: 'Unmodelled' });
  t.same([...new BigInt64Array(timespec_bytes(1_500_000_000).buffer)], [1n, 500_000_000n]);
});

t.test('a sleep takes its time, or until a time', async (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, MAP, 1);
    yield* user_store64(m, MAP, 2);
    yield* user_store64(m, MAP + 8, 0);
    const before = m.sched.now;
    t.equal(yield* sys_clock_nanosleep(m, MONOTONIC, 0, MAP, 0), 0);
    t.ok(m.sched.now - before >= 2e9);
    t.equal(yield* sys_clock_nanosleep(m, MONOTONIC, 1, MAP, 0), 0, 'a time that has passed');
    yield* user_store64(m, MAP + 8, 1_000_000_000);
    t.equal(yield* sys_clock_nanosleep(m, MONOTONIC, 0, MAP, 0), EINVAL);
    t.equal(yield* sys_clock_nanosleep(m, MONOTONIC, 0, 0x1000, 0), EFAULT);
  });
});
