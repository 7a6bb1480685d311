// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { run_clean, small_machine } from '../../../kernel/testing.ts';
import { map_anon } from '../../../mm/testing.ts';
import { sys_pkey_alloc, sys_pkey_free, sys_pkey_mprotect } from '../../../mm/mprotect.ts';

const MAP = 0x200000000;
const PAGE = 4096;
const [EINVAL, ENOSPC] = [-22, -28];

t.test('a CPU without PKU has no protection keys to give', (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, MAP, 1);
    t.equal(yield* sys_pkey_alloc(m, 0, 0), ENOSPC);
    t.equal(yield* sys_pkey_alloc(m, 1, 0), EINVAL, 'flags');
    t.equal(yield* sys_pkey_alloc(m, 0, 4), EINVAL, 'a right that there is not');
    for (const pkey of [-2, 0, 1, 16]) {
      t.equal(yield* sys_pkey_free(m, pkey), EINVAL);
      t.equal(yield* sys_pkey_mprotect(m, MAP, PAGE, 1, pkey), EINVAL);
    }
    t.equal(yield* sys_pkey_mprotect(m, MAP, PAGE, 1, -1), 0, 'no key');
  });
  t.end();
});
