// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { sys_mprotect } from '../mprotect.ts';
import { map_anon } from '../testing.ts';
import { fault_in_readable } from './fault_in.ts';

const [PAGE, MAP] = [4096, 0x200000000];
const TASK_SIZE = 0x7ffffffff000;

t.test('what cannot be read is counted from the first byte that faults', (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, MAP, 3);
    t.equal(yield* fault_in_readable(m, MAP + 10, 2 * PAGE), 0);
    yield* sys_mprotect(m, MAP + PAGE, PAGE, 0);
    t.equal(yield* fault_in_readable(m, MAP + 10, 2 * PAGE), PAGE + 10);
    t.equal(yield* fault_in_readable(m, MAP + PAGE, 1), 1);
    t.equal(yield* fault_in_readable(m, TASK_SIZE - 1, 2), 2, 'no user address');
    t.equal(yield* fault_in_readable(m, MAP + PAGE, 0), 0, 'nothing is asked for');
  });
  t.end();
});
