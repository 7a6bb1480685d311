// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { runProgram, type Libc } from '../../harness/libc.ts';
import * as U from '../../harness/uapi.ts';
import { audit } from '../audit.ts';
import { boot } from '../boot.ts';
import { load_module, unload_module } from '../kernel/module.ts';
import type { Gen } from '../kernel/gen.ts';
import { BLOCK_CMD, BLOCK_TO_DEVICE, BLOCK_TO_GENERIC, BLOCK_TO_SYSTEM } from './block_driver.ts';

const PAGE = 4096;
const HUGE = 512 * PAGE;

function* command(c: Libc, fd: number, request: number, addr: number, npages: number, order = 0): Gen<{ ret: number; cpages: number }> {
  const cmd = yield* c.malloc(BLOCK_CMD.size);
  yield* c.store64(cmd + BLOCK_CMD.addr, addr);
  yield* c.store64(cmd + BLOCK_CMD.npages, npages);
  yield* c.store32(cmd + BLOCK_CMD.order, order);
  const ret = (yield* c.ioctl(fd, request, cmd)) === 0 ? 0 : -c.errno;
  return { ret, cpages: yield* c.load32(cmd + BLOCK_CMD.cpages) };
}

t.test('memory goes to the block as pages or as a whole, comes back by command or by a fault, and keeps its contents', (t) => {
  const m = boot({ mem: 1024 * 1024 * 1024 });
  const status = runProgram(m, function* (c) {
    t.equal(yield* load_module(m, 'block_driver'), 0);
    const fd = yield* c.open('/dev/block', U.O_RDWR);
    const map = yield* c.mmap(0, 2 * HUGE, U.PROT_READ | U.PROT_WRITE, U.MAP_PRIVATE | U.MAP_ANONYMOUS, -1, 0);
    const ptr = Math.ceil(map / HUGE) * HUGE;
    for (let i = 0; i < 512; i++) yield* c.store32(ptr + i * PAGE, i + 1);

    t.same(yield* command(c, fd, BLOCK_TO_DEVICE, ptr, 512, 9), { ret: 0, cpages: 1 });
    t.same(yield* command(c, fd, BLOCK_TO_SYSTEM, ptr, 512, 9), { ret: 0, cpages: 1 });
    t.equal(yield* c.load32(ptr + 511 * PAGE), 512);
    t.same(yield* command(c, fd, BLOCK_TO_DEVICE, ptr, 512, 9), { ret: 0, cpages: 1 });
    t.equal(yield* c.load32(ptr + 300 * PAGE), 301, 'a fault brings it back');
    t.same(yield* command(c, fd, BLOCK_TO_DEVICE, ptr, 3), { ret: 0, cpages: 3 });
    t.same(yield* command(c, fd, BLOCK_TO_SYSTEM, ptr, 1), { ret: 0, cpages: 1 });
    for (let i = 0; i < 4; i++) t.equal(yield* c.load32(ptr + i * PAGE), i + 1);
    t.same(yield* command(c, fd, BLOCK_TO_GENERIC, ptr, 1), { ret: -22, cpages: 1 }, 'user space cannot have generic device memory');
    t.equal(yield* c.load32(ptr), 1);
    t.same(yield* command(c, fd, BLOCK_TO_DEVICE, ptr, 513), { ret: -22, cpages: 0 });
    yield* c.close(fd);
    return 0;
  });
  t.equal(status, 0);
  t.same(audit(m), []);
  const unloading = unload_module(m, 'block_driver').next();
  t.same(unloading, { done: true, value: 0 });
  t.end();
});
