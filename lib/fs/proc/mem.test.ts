// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { map_anon } from '../../mm/testing.ts';
import { do_sys_open, ksys_close } from '../open.ts';
import { ksys_pread64, ksys_pwrite64 } from '../read_write.ts';

const [PAGE, MAP] = [4096, 0x200000000];
const [EFAULT, EIO, O_RDWR] = [-14, -5, 2];

t.test('/proc/self/mem reads and writes what the process itself may', (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, MAP, 2);
    yield* map_anon(m, MAP + 2 * PAGE, 1, 1);
    const fd = yield* do_sys_open(m, '/proc/self/mem', O_RDWR, 0);
    yield* user_store32(m, MAP, 7);
    t.equal(yield* ksys_pwrite64(m, fd, MAP, 4, MAP + PAGE), 4);
    t.equal(yield* user_load32(m, MAP + PAGE), 7);
    t.equal(yield* ksys_pread64(m, fd, MAP + 8, 4, MAP + PAGE), 4);
    t.equal(yield* user_load32(m, MAP + 8), 7);
    t.equal(yield* ksys_pwrite64(m, fd, MAP, 4, MAP + 2 * PAGE), EIO, 'a page that is read-only');
    t.equal(yield* ksys_pread64(m, fd, MAP, 4, MAP + 3 * PAGE), EIO, 'no page');
    t.equal(yield* ksys_pread64(m, fd, MAP, 2 * PAGE, MAP + 2 * PAGE), PAGE, 'up to what is not mapped');
    t.equal(yield* ksys_pread64(m, fd, MAP + 3 * PAGE, 4, MAP), EFAULT);
    t.equal(yield* ksys_pwrite64(m, fd, MAP + 3 * PAGE, 4, MAP), EFAULT);
    yield* ksys_close(m, fd);
  });
  t.end();
});
