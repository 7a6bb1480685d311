// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import { audit } from '../../audit.ts';
import { kernel_wait4 } from '../../kernel/exit.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import { run_process, small_machine } from '../../kernel/testing.ts';
import { lru_add_drain } from '../folio.ts';
import { FOLL_PIN, try_grab_folio, unpin_user_page } from '../gup/pin.ts';
import type { mm_struct } from '../mm_types.ts';
import { folio_test_active } from '../page-flags.ts';
import { page_at } from '../testing.ts';
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

t.test('a pinned page stays where it is, and is not taken for a used one', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      const ptr = yield* sys_mmap(m, 0, 2 * PAGE, RW, PRIVATE | ANON, -1, 0);
      for (const page of [ptr, ptr + PAGE]) yield* user_store32(m, page, 1);
      const [pinned, other] = [ptr, ptr + PAGE].map((addr) => page_at(m, m.current.mm as mm_struct, addr));
      t.equal(try_grab_folio(m, pinned, 1, FOLL_PIN), 0);
      t.equal(yield* sys_madvise(m, ptr, 2 * PAGE, MADV_PAGEOUT), 0);
      lru_add_drain(m);
      t.same([folio_test_active(m, pinned), folio_test_active(m, other)], [false, true]);
      unpin_user_page(m, pinned);
    }),
    0,
  );
  t.same(audit(m), []);
  t.end();
});
