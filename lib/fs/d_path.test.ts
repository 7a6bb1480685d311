// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_read_bytes } from '../arch/x86/mm/uaccess.ts';
import { run_clean, small_machine } from '../kernel/testing.ts';
import { map_anon } from '../mm/testing.ts';
import { sys_getcwd } from './d_path.ts';

const MAP = 0x200000000;
const [EFAULT, ERANGE] = [-14, -34];

t.test('the working directory with its zero byte, if there is room', async (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, MAP, 1);
    m.current.pwd = '/tmp';
    t.equal(yield* sys_getcwd(m, MAP, 5), 5);
    t.same([...(yield* user_read_bytes(m, MAP, 5))], [0x2f, 0x74, 0x6d, 0x70, 0]);
    t.equal(yield* sys_getcwd(m, MAP, 4), ERANGE);
    t.equal(yield* sys_getcwd(m, 0x1000, 5), EFAULT);
  });
});
