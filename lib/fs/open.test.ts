// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { run_clean, small_machine } from '../kernel/testing.ts';
import { do_sys_open, ksys_close } from './open.ts';

const BUF = 0x300000000;
const PAGE = 4096;
const O_RDWR = 2;
const [ENOENT, EBADF, EMFILE] = [-2, -9, -24];

function run(body: (m: Machine) => Gen<void>): void {
  run_clean(t, small_machine(), function* (m) {
    yield* sys_mmap(m, BUF, 4 * PAGE, 3, 0x32, -1, 0);
    yield* body(m);
  });
}

t.test('descriptors are the lowest free numbers, up to the limit', (t) => {
  run(function* (m) {
    const first = yield* do_sys_open(m, '/dev/zero', O_RDWR, 0);
    const second = yield* do_sys_open(m, '/dev/null', O_RDWR, 0);
    t.equal(second, first + 1);
    t.equal(yield* ksys_close(m, first), 0);
    t.equal(yield* ksys_close(m, first), EBADF);
    t.equal(yield* do_sys_open(m, '/dev/zero', O_RDWR, 0), first);
    let last = 0;
    while (last >= 0) last = yield* do_sys_open(m, '/dev/null', 0, 0);
    t.equal(last, EMFILE);
    t.equal(yield* ksys_close(m, second), 0);
    t.equal(yield* do_sys_open(m, '/no/such', 0, 0), ENOENT);
    t.equal(yield* do_sys_open(m, '/dev/null', 0, 0), second, 'a failed open gives its number back');
  });
  t.end();
});
