// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32, user_write_bytes } from '../arch/x86/mm/uaccess.ts';
import { ksys_close, ksys_ftruncate } from '../fs/open.ts';
import { run_clean, run_process, small_machine } from '../kernel/testing.ts';
import { sys_memfd_create } from './memfd.ts';
import { map_anon } from './testing.ts';

const MAP = 0x200000000;
const PAGE = 4096;
const [SHARED, RW] = [1, 3];
const [EFAULT, EINVAL] = [-14, -22];

t.test('a file of memory is mapped by its descriptor', async (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, MAP, 1);
    yield* user_write_bytes(m, MAP, new TextEncoder().encode('name\0'));
    const fd = yield* sys_memfd_create(m, MAP, 1);
    t.equal(m.current.files?.close_on_exec.has(fd), true, 'MFD_CLOEXEC');
    t.equal(yield* ksys_ftruncate(m, fd, PAGE), 0);
    const [a, b] = [yield* sys_mmap(m, 0, PAGE, RW, SHARED, fd, 0), yield* sys_mmap(m, 0, PAGE, RW, SHARED, fd, 0)];
    yield* user_store32(m, a, 42);
    t.equal(yield* user_load32(m, b), 42);
    yield* ksys_close(m, fd);
  });
});

t.test('names and flags that are refused', async (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, MAP, 1);
    yield* user_write_bytes(m, MAP, new Uint8Array(300).fill(65));
    t.equal(yield* sys_memfd_create(m, MAP, 0), EINVAL, 'a name of 300 letters');
    t.equal(yield* sys_memfd_create(m, MAP, 64), EINVAL);
    t.equal(yield* sys_memfd_create(m, MAP, 8 | 16), EINVAL, 'executable and not');
    t.equal(yield* sys_memfd_create(m, 0x1000, 0), EFAULT);
  });
  const m = small_machine();
  t.throws(() => run_process(m, () => sys_memfd_create(m, 0, 4)), /MFD_HUGETLB/);
});
