// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_load64 } from '../../arch/x86/mm/uaccess.ts';
import { map_anon } from '../../mm/testing.ts';
import { run_clean, small_machine } from '../testing.ts';
import { sys_gettimeofday, sys_time } from './time.ts';

const MAP = 0x200000000;
const EFAULT = -14;

t.test('the time of day in seconds and microseconds, of a clock in UTC', async (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, MAP, 1);
    m.sched.spend(1_234_567_890);
    t.equal(yield* sys_gettimeofday(m, MAP, MAP + 16), 0);
    const [sec, usec] = [yield* user_load64(m, MAP), yield* user_load64(m, MAP + 8)].map(Number);
    t.equal(sec * 1e6 + usec, Math.floor(m.wall_clock() / 1000));
    t.equal(Number(yield* user_load64(m, MAP + 16)), 0);
    t.equal(yield* sys_gettimeofday(m, 0, 0), 0);
    t.equal(yield* sys_gettimeofday(m, 0x1000, 0), EFAULT);
    t.equal(yield* sys_time(m, MAP), sec);
    t.equal(Number(yield* user_load64(m, MAP)), sec);
    t.equal(yield* sys_time(m, 0), sec);
    t.equal(yield* sys_time(m, 0x1000), EFAULT);
  });
});
