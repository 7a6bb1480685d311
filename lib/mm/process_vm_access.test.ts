// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_load32, user_store32, user_store64 } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { kernel_clone } from '../kernel/fork/fork.ts';
import { kernel_wait4 } from '../kernel/exit.ts';
import type { Gen } from '../kernel/gen.ts';
import { sched_yield } from '../kernel/sched/syscalls.ts';
import { run_clean, small_machine } from '../kernel/testing.ts';
import { sys_process_vm_readv, sys_process_vm_writev } from './process_vm_access.ts';
import { map_anon } from './testing.ts';

const [PAGE, MAP, VEC] = [4096, 0x200000000, 0x300000000];
const [EFAULT, EINVAL, ESRCH] = [-14, -22, -3];
const [LOCAL, REMOTE] = [VEC, VEC + 64];

/** Writes an array of struct iovec. Returns its length. */
function* iovecs(m: Machine, at: number, vecs: readonly [number, number][]): Gen<number> {
  for (const [i, [base, len]] of vecs.entries()) {
    yield* user_store64(m, at + i * 16, base);
    yield* user_store64(m, at + i * 16 + 8, len);
  }
  return vecs.length;
}

t.test('memory is copied between the iovecs of two processes', (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, VEC, 2);
    yield* map_anon(m, MAP, 4);
    yield* user_store32(m, MAP, 1);
    let stop = false;
    const pid = yield* kernel_clone(m, 17, function* () {
      yield* user_store32(m, MAP, 0x11);
      yield* user_store32(m, MAP + PAGE, 0x22);
      while (!stop) yield* sched_yield(m);
      t.equal(yield* user_load32(m, MAP + PAGE - 4), 0x77);
      t.equal(yield* user_load32(m, MAP + PAGE), 0x88);
    });
    for (let i = 0; i < 4; i++) yield* sched_yield(m);
    const l = yield* iovecs(m, LOCAL, [
      [VEC + 512, 4],
      [VEC + 600, 100],
    ]);
    const r = yield* iovecs(m, REMOTE, [
      [MAP, 4],
      [MAP + PAGE, 4],
    ]);
    t.equal(yield* sys_process_vm_readv(m, pid, LOCAL, l, REMOTE, r, 0), 8, 'as much as there is on the other side');
    t.same([yield* user_load32(m, VEC + 512), yield* user_load32(m, VEC + 600)], [0x11, 0x22]);
    t.equal(yield* user_load32(m, MAP), 1, 'its own memory is another');
    yield* user_store64(m, VEC + 512, 0x88 * 2 ** 32 + 0x77);
    yield* iovecs(m, LOCAL, [[VEC + 512, 8]]);
    yield* iovecs(m, REMOTE, [[MAP + PAGE - 4, 8]]);
    t.equal(yield* sys_process_vm_writev(m, pid, LOCAL, 1, REMOTE, 1, 0), 8, 'across a page border');
    stop = true;
    yield* kernel_wait4(m, pid, 0);
    t.equal(yield* sys_process_vm_readv(m, pid, LOCAL, 1, REMOTE, 1, 0), ESRCH);
  });
  t.end();
});

t.test('what cannot be copied', (t) => {
  run_clean(t, small_machine(), function* (m) {
    const pid = m.current.tgid;
    yield* map_anon(m, VEC, 2);
    yield* map_anon(m, MAP, 1);
    yield* map_anon(m, MAP + PAGE, 1, 1);
    yield* user_store32(m, MAP, 5);
    const call = function* (local: [number, number], remote: [number, number], write = false, flags = 0): Gen<number> {
      yield* iovecs(m, LOCAL, [local]);
      yield* iovecs(m, REMOTE, [remote]);
      const f = write ? sys_process_vm_writev : sys_process_vm_readv;
      return yield* f(m, pid, LOCAL, 1, REMOTE, 1, flags);
    };
    t.equal(yield* call([VEC + 512, 4], [MAP, 4], false, 1), EINVAL);
    t.equal(yield* call([VEC + 512, 4], [MAP + 2 * PAGE, 4]), EFAULT, 'not mapped there');
    t.equal(yield* call([2 ** 47, 4], [MAP, 4]), EFAULT, 'not mapped here');
    t.equal(yield* call([VEC + 512, 4], [MAP + PAGE, 4], true), EFAULT, 'may not be written to');
    t.equal(yield* call([VEC + 512, 0], [MAP, 4]), 0);
    t.equal(yield* call([VEC + 512, 4], [MAP, 0]), 0);
    t.equal(yield* call([VEC + 512, 2 * PAGE], [MAP, 2 * PAGE]), 2 * PAGE - 512, 'as much as there is room for');
    t.equal(yield* sys_process_vm_readv(m, pid, MAP + 2 * PAGE, 1, REMOTE, 1, 0), EFAULT);
    t.equal(yield* sys_process_vm_readv(m, pid, LOCAL, 1025, REMOTE, 1, 0), EINVAL);
  });
  t.end();
});
