// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_read_bytes } from '../../arch/x86/mm/uaccess.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { map_anon } from '../../mm/testing.ts';
import { sys_getrandom } from './random.ts';

const MAP = 0x200000000;
const PAGE = 4096;
const [EFAULT, EINVAL] = [-14, -22];

t.test('random bytes are those of the machine: the same in each run, others in each call', async (t) => {
  const seen: string[] = [];
  for (let run = 0; run < 2; run++) {
    run_clean(t, small_machine(), function* (m) {
      yield* map_anon(m, MAP, 2);
      for (let call = 0; call < 2; call++) {
        t.equal(yield* sys_getrandom(m, MAP, 5000, 0), 5000);
        seen.push((yield* user_read_bytes(m, MAP, 5000)).join());
      }
    });
  }
  t.equal(seen[0], seen[2]);
  t.equal(seen[1], seen[3]);
  t.not(seen[0], seen[1]);
});

t.test('flags that do not go together, and memory that ends', async (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, MAP, 1);
    t.equal(yield* sys_getrandom(m, MAP, 8, 8), EINVAL);
    t.equal(yield* sys_getrandom(m, MAP, 8, 2 | 4), EINVAL, 'random and insecure');
    t.equal(yield* sys_getrandom(m, MAP, 8, 1 | 4), 8);
    t.equal(yield* sys_getrandom(m, MAP, 0, 0), 0);
    t.equal(yield* sys_getrandom(m, MAP + PAGE, 8, 0), EFAULT);
    t.equal(yield* sys_getrandom(m, MAP, PAGE + 8, 0), PAGE, 'as much as there is room for');
  });
});
