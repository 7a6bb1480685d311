// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_sys_open, ksys_close } from '../fs/open.ts';
import { ksys_write } from '../fs/read_write.ts';
import { load_module, unload_module } from '../kernel/module.ts';
import { run_process, small_machine } from '../kernel/testing.ts';
import { map_anon } from '../mm/testing.ts';

const BUF = 0x200000000;

t.test('what is written to /dev/race begins and ends a race', (t) => {
  const m = small_machine();
  const status = run_process(m, function* () {
    yield* map_anon(m, BUF, 1);
    t.equal(yield* load_module(m, 'race_driver'), 0);
    const fd = yield* do_sys_open(m, '/dev/race', 1, 0);
    t.equal(yield* ksys_write(m, fd, BUF, 0), -22);
    t.equal(yield* ksys_write(m, fd, BUF, 5), 5);
    t.equal(m.sched.explore, true);
    t.equal(yield* ksys_write(m, fd, BUF, 1), 1);
    t.equal(m.sched.explore, false);
    yield* ksys_close(m, fd);
    t.equal(yield* unload_module(m, 'race_driver'), 0);
  });
  t.equal(status, 0);
  t.end();
});
