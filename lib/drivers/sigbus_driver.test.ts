// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32 } from '../arch/x86/mm/uaccess.ts';
import { audit } from '../audit.ts';
import type { Machine } from '../machine.ts';
import { sys_ioctl } from '../fs/ioctl.ts';
import { do_sys_open, ksys_close } from '../fs/open.ts';
import type { Gen } from '../kernel/gen.ts';
import { load_module, unload_module } from '../kernel/module.ts';
import { run_clean, signal_of, small_machine } from '../kernel/testing.ts';
import { sys_munmap } from '../mm/mmap/mmap.ts';

const MAP = 0x200000000;
const PAGE = 4096;
const [ENOENT, ENOMEM, EINVAL, SIGBUS] = [-2, -12, -22, 7];

function run(body: (m: Machine, fd: number) => Gen<void>): Machine {
  return run_clean(t, small_machine(), function* (m) {
    t.equal(yield* load_module(m, 'sigbus_driver'), 0);
    const fd = yield* do_sys_open(m, '/dev/sigbus', 2, 0);
    yield* sys_mmap(m, MAP, 20 * PAGE, 3, 0x32, -1, 0);
    for (let i = 0; i < 20; i++) yield* user_store32(m, MAP + i * PAGE, 100 + i);
    yield* body(m, fd);
  });
}

t.test('a page that was moved is a bus error to whoever touches it, time and again; its neighbours are not', (t) => {
  run(function* (m, fd) {
    t.equal(yield* sys_ioctl(m, fd, 0, MAP + PAGE), 0);
    t.equal(yield* signal_of(user_load32(m, MAP + PAGE)), SIGBUS);
    t.equal(yield* signal_of(user_store32(m, MAP + PAGE, 1)), SIGBUS);
    t.equal(yield* signal_of(user_load32(m, MAP + PAGE)), SIGBUS);
    t.equal(yield* user_load32(m, MAP), 100);
    t.equal(yield* user_load32(m, MAP + 2 * PAGE), 102);
    t.equal(yield* sys_ioctl(m, fd, 0, MAP + PAGE), ENOMEM, 'it is no system memory any more');
    t.equal(yield* sys_ioctl(m, fd, 0, MAP + 20 * PAGE), EINVAL, 'nothing is mapped');
  });
  t.end();
});

t.test('there are 16 device pages, and unmapping gives them back', (t) => {
  run(function* (m, fd) {
    for (let i = 0; i < 16; i++) t.equal(yield* sys_ioctl(m, fd, 0, MAP + i * PAGE), 0, `page ${i}`);
    t.equal(yield* sys_ioctl(m, fd, 0, MAP + 16 * PAGE), ENOMEM);
    t.equal(yield* user_load32(m, MAP + 16 * PAGE), 116, 'what did not move is as it was');
    t.equal(yield* sys_munmap(m, MAP, 2 * PAGE), 0);
    t.equal(yield* sys_ioctl(m, fd, 0, MAP + 16 * PAGE), 0);
    t.equal(yield* signal_of(user_load32(m, MAP + 16 * PAGE)), SIGBUS);
    t.same(audit(m), [], 'with device pages in use');
  });
  t.end();
});

t.test('unloading takes its node away', (t) => {
  const m = run(function* (m, fd) {
    t.equal(yield* sys_ioctl(m, fd, 0, MAP), 0);
    t.equal(yield* sys_munmap(m, MAP, PAGE), 0);
    t.equal(yield* ksys_close(m, fd), 0);
    t.equal(yield* unload_module(m, 'sigbus_driver'), 0);
    t.equal(yield* do_sys_open(m, '/dev/sigbus', 2, 0), ENOENT);
    t.equal(yield* load_module(m, 'sigbus_driver'), 0, 'and it can be loaded again');
    t.ok((yield* do_sys_open(m, '/dev/sigbus', 2, 0)) >= 0);
  });
  t.ok(m.modules.loaded.has('sigbus_driver'));
  t.end();
});
