// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_load8, user_store32, user_store64 } from '../arch/x86/mm/uaccess.ts';
import { boot } from '../boot.ts';
import { sys_ioctl } from '../fs/ioctl.ts';
import { do_sys_open } from '../fs/open.ts';
import { start_process } from '../kernel/exec.ts';
import { load_module, unload_module } from '../kernel/module.ts';
import { vm_mmap } from '../mm/util.ts';

const EINVAL = 22;

t.test('the driver says which pages a migration selects, and leaves them as they are', (t) => {
  const m = boot({ mem: 64 * 1024 * 1024, thp: 'never' });
  const task = start_process(m, 'test', function* () {
    t.equal(yield* load_module(m, 'select_driver'), 0);
    const fd = yield* do_sys_open(m, '/dev/select', 2, 0);
    const buf = yield* vm_mmap(m, null, 0, 3 * 4096, 3, 0x22, 0);
    const cmd = yield* vm_mmap(m, null, 0, 4096, 3, 0x22, 0);
    yield* user_store32(m, buf, 7);
    yield* user_store64(m, cmd, buf);
    yield* user_store64(m, cmd + 8, 3);
    yield* user_store64(m, cmd + 16, cmd + 100);
    yield* user_store32(m, cmd + 24, 1);
    t.equal(yield* sys_ioctl(m, fd, 0, cmd), 0);
    t.same(
      [yield* user_load8(m, cmd + 100), yield* user_load8(m, cmd + 101), yield* user_load8(m, cmd + 102)],
      [3, 2, 2],
    );
    yield* user_store32(m, cmd + 28, 1);
    t.equal(yield* sys_ioctl(m, fd, 0, cmd), -EINVAL, 'a device that does not exist owns nothing');
    yield* user_store32(m, cmd + 28, 0);
    yield* user_store64(m, cmd + 8, 513);
    t.equal(yield* sys_ioctl(m, fd, 0, cmd), -EINVAL, 'too many pages');
    t.equal(yield* unload_module(m, 'select_driver'), 0);
  });
  m.sched.run(() => task.exit_state !== 'alive');
  t.same([m.log.warnings, m.log.oopses], [[], []]);
  t.end();
});
