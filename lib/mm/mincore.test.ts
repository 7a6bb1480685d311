// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_load32, user_read_bytes, user_store32 } from '../arch/x86/mm/uaccess.ts';
import { do_sys_open, ksys_ftruncate } from '../fs/open.ts';
import { ksys_pwrite64 } from '../fs/read_write.ts';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { run_clean, small_machine } from '../kernel/testing.ts';
import { sys_mincore } from './mincore.ts';
import { map_anon, run_thp } from './testing.ts';

const [PAGE, HUGE, MAP, VEC] = [4096, 2 * 1024 * 1024, 0x200000000, 0x300000000];
const [EFAULT, EINVAL, ENOMEM] = [-14, -22, -12];
const O_TMPFILE_RDWR = 0o20200002;

/** The bytes that mincore() writes for n pages. */
function* in_core(m: Machine, addr: number, n: number): Gen<number[] | number> {
  const ret = yield* sys_mincore(m, addr, n * PAGE, VEC);
  return ret === 0 ? [...(yield* user_read_bytes(m, VEC, n))] : ret;
}

t.test('anonymous memory is in core where it was touched', (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, VEC, 1);
    yield* map_anon(m, MAP, 4);
    yield* user_store32(m, MAP + PAGE, 1);
    yield* user_load32(m, MAP + 3 * PAGE);
    t.same(yield* in_core(m, MAP, 4), [0, 1, 0, 1]);
    t.equal(yield* in_core(m, MAP + 1, 1), EINVAL);
    t.equal(yield* in_core(m, MAP, 5), ENOMEM, 'a page that is not mapped');
    t.equal(yield* sys_mincore(m, MAP, PAGE, MAP + 4 * PAGE), EFAULT);
    t.equal(yield* sys_mincore(m, MAP, 2 ** 60, VEC), ENOMEM);
    t.equal(yield* sys_mincore(m, MAP, 0, VEC), 0);
    t.same(yield* in_core(m, MAP + PAGE, 1), [1]);
    t.equal(yield* sys_mincore(m, MAP, 1, VEC), 0, 'a length is rounded up');
  });
  t.end();
});

t.test('a file is in core where its cache has pages, mapped or not', (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, VEC, 1);
    const fd = yield* do_sys_open(m, '/tmp', O_TMPFILE_RDWR, 0o600);
    yield* ksys_ftruncate(m, fd, 4 * PAGE);
    t.equal(yield* ksys_pwrite64(m, fd, VEC, 4, 2 * PAGE), 4);
    yield* sys_mmap(m, MAP, 4 * PAGE, 3, 0x11, fd, 0);
    t.same(yield* in_core(m, MAP, 4), [0, 0, 1, 0]);
    yield* user_store32(m, MAP, 1);
    t.same(yield* in_core(m, MAP, 4), [1, 0, 1, 0]);
  });
  t.end();
});

t.test('a huge page is in core as a whole', (t) => {
  run_thp(t, MAP, HUGE, function* (m) {
    yield* map_anon(m, VEC, 1);
    t.same(yield* in_core(m, MAP + 5 * PAGE, 2), [0, 0]);
    yield* user_store32(m, MAP, 1);
    t.same(yield* in_core(m, MAP + 5 * PAGE, 2), [1, 1]);
  });
  t.end();
});
