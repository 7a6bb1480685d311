// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_memset, user_store8 } from './arch/x86/mm/uaccess.ts';
import { run_clean, small_machine } from './kernel/testing.ts';
import { map_anon } from './mm/testing.ts';
import { strncpy_from_user } from './strncpy_from_user.ts';

const [PAGE, MAP, EFAULT] = [4096, 0x200000000, 14];

t.test('a string ends at its NUL or at the limit, and may lie over the edge of a page', (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, MAP, 2);
    yield* user_memset(m, MAP + PAGE - 2, 0x61, 4);
    t.equal(yield* strncpy_from_user(m, MAP + PAGE - 2, 100), 'aaaa');
    t.equal(yield* strncpy_from_user(m, MAP + PAGE - 2, 3), 'aaa', 'the limit needs no NUL');
    t.equal(yield* strncpy_from_user(m, MAP, 100), '');
    yield* user_store8(m, MAP + 2 * PAGE - 1, 0x62);
    t.equal(yield* strncpy_from_user(m, MAP + 2 * PAGE - 1, 100), -EFAULT, 'no NUL before the end of the mapping');
    t.equal(yield* strncpy_from_user(m, MAP + 2 * PAGE - 1, 1), 'b');
    t.equal(yield* strncpy_from_user(m, 0xffff800000000000, 1), -EFAULT);
  });
  t.end();
});
