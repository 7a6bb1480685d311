// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32, user_store64 } from '../arch/x86/mm/uaccess.ts';
import { audit } from '../audit.ts';
import { boot } from '../boot.ts';
import type { Machine } from '../machine.ts';
import { sys_ioctl } from '../fs/ioctl.ts';
import { do_sys_open, ksys_close } from '../fs/open.ts';
import type { Gen } from '../kernel/gen.ts';
import { load_module, unload_module } from '../kernel/module.ts';
import { run_process } from '../kernel/testing.ts';
import { BLOCK_CMD, BLOCK_TO_DEVICE, BLOCK_TO_GENERIC, BLOCK_TO_SYSTEM } from './block_driver.ts';

const PAGE = 4096;
const HUGE = 512 * PAGE;
const MAP = 0x200000000;
const CMD = 0x300000000;

function* command(
  m: Machine,
  fd: number,
  request: number,
  addr: number,
  npages: number,
  order = 0,
): Gen<{ ret: number; cpages: number }> {
  yield* user_store64(m, CMD + BLOCK_CMD.addr, addr);
  yield* user_store64(m, CMD + BLOCK_CMD.npages, npages);
  yield* user_store32(m, CMD + BLOCK_CMD.order, order);
  yield* user_store32(m, CMD + BLOCK_CMD.cpages, 0);
  const ret = yield* sys_ioctl(m, fd, request, CMD);
  return { ret, cpages: yield* user_load32(m, CMD + BLOCK_CMD.cpages) };
}

t.test(
  'memory goes to the block as pages or as a whole, comes back by command or by a fault, and keeps its contents',
  (t) => {
    const m = boot({ mem: 1024 * 1024 * 1024 });
    const status = run_process(m, function* () {
      t.equal(yield* load_module(m, 'block_driver'), 0);
      const fd = yield* do_sys_open(m, '/dev/block', 2, 0);
      yield* sys_mmap(m, CMD, PAGE, 3, 0x32, -1, 0);
      yield* sys_mmap(m, MAP, HUGE, 3, 0x32, -1, 0);
      for (let i = 0; i < 512; i++) yield* user_store32(m, MAP + i * PAGE, i + 1);

      t.same(yield* command(m, fd, BLOCK_TO_DEVICE, MAP, 512, 9), { ret: 0, cpages: 1 });
      t.same(yield* command(m, fd, BLOCK_TO_SYSTEM, MAP, 512, 9), { ret: 0, cpages: 1 });
      t.equal(yield* user_load32(m, MAP + 511 * PAGE), 512);
      t.same(yield* command(m, fd, BLOCK_TO_DEVICE, MAP, 512, 9), { ret: 0, cpages: 1 });
      t.equal(yield* user_load32(m, MAP + 300 * PAGE), 301, 'a fault brings it back');
      t.same(yield* command(m, fd, BLOCK_TO_DEVICE, MAP, 3), { ret: 0, cpages: 3 });
      t.same(yield* command(m, fd, BLOCK_TO_SYSTEM, MAP, 1), { ret: 0, cpages: 1 });
      for (let i = 0; i < 4; i++) t.equal(yield* user_load32(m, MAP + i * PAGE), i + 1);
      t.same(
        yield* command(m, fd, BLOCK_TO_GENERIC, MAP, 1),
        { ret: -22, cpages: 1 },
        'user space cannot have generic device memory',
      );
      t.equal(yield* user_load32(m, MAP), 1);
      t.same(yield* command(m, fd, BLOCK_TO_DEVICE, MAP, 513), { ret: -22, cpages: 0 });
      yield* ksys_close(m, fd);
    });
    t.equal(status, 0);
    t.same(audit(m), []);
    const unloading = unload_module(m, 'block_driver').next();
    t.same(unloading, { done: true, value: 0 });
    t.end();
  },
);
