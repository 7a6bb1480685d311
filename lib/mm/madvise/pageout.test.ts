// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import { audit } from '../../audit.ts';
import { kernel_wait4 } from '../../kernel/exit.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import { run_process, small_machine } from '../../kernel/testing.ts';
import { sys_madvise } from './madvise.ts';

const PAGE = 4096;
const [RW, PRIVATE, ANON] = [3, 2, 0x20];
const MADV_FREE = 8;
const MADV_PAGEOUT = 21;

t.test('without swap only pages that were given away and not written since are dropped', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      const ptr = yield* sys_mmap(m, 0, 4 * PAGE, RW, PRIVATE | ANON, -1, 0);
      for (let i = 0; i < 4; i++) yield* user_store32(m, ptr + i * PAGE, i + 1);
      yield* sys_madvise(m, ptr + PAGE, 3 * PAGE, MADV_FREE);
      yield* user_store32(m, ptr + 2 * PAGE, 30);
      yield* user_load32(m, ptr + 3 * PAGE);
      t.equal(yield* sys_madvise(m, ptr, 4 * PAGE, MADV_PAGEOUT), 0);
      t.equal(yield* user_load32(m, ptr), 1, 'never given away');
      t.equal(yield* user_load32(m, ptr + PAGE), 0, 'given away');
      t.equal(yield* user_load32(m, ptr + 2 * PAGE), 30, 'written since');
      t.equal(yield* user_load32(m, ptr + 3 * PAGE), 0, 'only read since');
    }),
    0,
  );
  t.same(audit(m), []);
  t.end();
});

t.test('a page that a child shares stays', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      const ptr = yield* sys_mmap(m, 0, PAGE, RW, PRIVATE | ANON, -1, 0);
      yield* user_store32(m, ptr, 1);
      yield* sys_madvise(m, ptr, PAGE, MADV_FREE);
      const pid = yield* kernel_clone(m, 0, function* () {
        yield* sys_madvise(m, ptr, PAGE, MADV_PAGEOUT);
        return yield* user_load32(m, ptr);
      });
      t.same(yield* kernel_wait4(m, pid, 0), { pid, status: 1 << 8 });
    }),
    0,
  );
  t.same(audit(m), []);
  t.end();
});
