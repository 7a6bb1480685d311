// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { folio_test_dirty } from '../page-flags.ts';
import { map_anon, page_at } from '../testing.ts';
import { access_remote_vm } from './access.ts';

const [PAGE, MAP] = [4096, 0x200000000];
const [WRITE, FORCE] = [1, 8];

t.test('bytes go to and from an address space up to the first page that is not there', (t) => {
  run_clean(t, small_machine(), function* (m, mm) {
    yield* map_anon(m, MAP, 2);
    yield* user_store32(m, MAP + PAGE - 4, 0x04030201);
    const bytes = new Uint8Array(8);
    t.equal(yield* access_remote_vm(m, mm, MAP + PAGE - 4, bytes, 0), 8);
    t.same([...bytes], [1, 2, 3, 4, 0, 0, 0, 0]);
    t.equal(yield* access_remote_vm(m, mm, MAP + 2 * PAGE - 4, bytes, 0), 4);
    t.equal(yield* access_remote_vm(m, mm, MAP + 2 * PAGE, bytes, 0), 0);
    t.equal(yield* access_remote_vm(m, mm, MAP + PAGE - 2, new Uint8Array([9, 8, 7, 6]), WRITE), 4);
    t.equal(yield* user_load32(m, MAP + PAGE), 0x0607);
    t.ok(folio_test_dirty(m, page_at(m, mm, MAP + PAGE)));
    t.equal(mm.mmap_lock.readers.length, 0);
  });
  t.end();
});

t.test('only FOLL_FORCE gets past the protection', (t) => {
  run_clean(t, small_machine(), function* (m, mm) {
    yield* map_anon(m, MAP, 1, 1);
    const word = new Uint8Array([1, 0, 0, 0]);
    t.equal(yield* access_remote_vm(m, mm, MAP, word, WRITE), 0);
    t.equal(yield* access_remote_vm(m, mm, MAP, word, WRITE | FORCE), 4);
    t.equal(yield* user_load32(m, MAP), 1);
  });
  t.end();
});
