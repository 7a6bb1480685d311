// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../../arch/x86/entry/syscall_64.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import { map_anon } from '../../mm/testing.ts';
import type { mm_struct } from '../../mm/mm_types.ts';
import { run_clean, small_machine } from '../testing.ts';
import { CLONE_FILES, CLONE_THREAD, CLONE_VM, kernel_clone } from './fork.ts';
import { exec_mm_release } from './mm_release.ts';

const WORD = 0x200000000;
const FUTEX = 202;

t.test('a thread that ends clears its word and wakes who waits for it', async (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, WORD, 1);
    yield* user_store32(m, WORD, 7);
    yield* kernel_clone(m, CLONE_VM | CLONE_FILES | CLONE_THREAD, function* () {
      m.current.clear_child_tid = WORD;
    });
    while ((yield* user_load32(m, WORD)) === 7) yield* do_syscall_64(m, FUTEX, WORD, 0, 7);
    t.equal(yield* user_load32(m, WORD), 0);
  });
});

t.test('the last user of an address space leaves the word as it is, and forgets it', async (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, WORD, 1);
    yield* user_store32(m, WORD, 7);
    m.current.clear_child_tid = WORD;
    yield* exec_mm_release(m, m.current, m.current.mm as mm_struct);
    t.equal(yield* user_load32(m, WORD), 7);
    t.equal(m.current.clear_child_tid, 0);
  });
});
