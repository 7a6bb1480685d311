// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { free_bytes } from '../../mm/page_alloc.ts';
import { run_task, small_machine } from '../testing.ts';
import { dup_mm, mm_alloc, mmdrop, mmget, mmget_not_zero, mmgrab, mmput } from './mm_init.ts';

t.test('an address space lives as long as it has users, its struct as long as references', (t) => {
  const m = small_machine();
  const before = free_bytes(m);
  run_task(m, function* () {
    const mm = mm_alloc(m);
    if (mm === null) throw new Error('no memory');
    t.same([mm.mm_users, mm.mm_count, mm.mm_mt.length], [1, 1, 0]);
    const copy = yield* dup_mm(m, mm);
    t.not(copy?.mm_id, mm.mm_id);
    if (copy !== null) yield* mmput(m, copy);
    mmget(mm);
    yield* mmput(m, mm);
    t.ok(m.mms.has(mm));
    mmgrab(mm);
    yield* mmput(m, mm);
    t.notOk(mmget_not_zero(mm));
    mmdrop(m, mm);
    t.notOk(m.mms.has(mm));
  });
  t.equal(free_bytes(m), before, 'its page tables are free again');
  t.end();
});
