// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { Machine } from '../machine.ts';
import { should_fail } from '../fault-inject.ts';
import { kcalloc, kvcalloc, kvfree } from './slub.ts';

const GFP_KERNEL = 0xcc0;
const NOFAIL = 0x8000;

t.test('arrays are zeroed and counted until they are freed', (t) => {
  const m = new Machine({ mem: 64 * 1024 * 1024 });
  const a = kcalloc(m, 3, GFP_KERNEL);
  const b = kvcalloc(m, 0, GFP_KERNEL);
  t.same([...(a ?? [])], [0, 0, 0]);
  t.equal(b.length, 0);
  t.equal(m.slab.live, 2);
  kvfree(m, a);
  kvfree(m, null);
  t.equal(m.slab.live, 1);
  kvfree(m, b);
  t.equal(m.slab.live, 0);
  t.end();
});

t.test('an allocation that must not fail neither fails nor counts', (t) => {
  const m = new Machine({ mem: 64 * 1024 * 1024 });
  m.slab.fail_nth.set(m.current.pid, 1);
  t.ok(kcalloc(m, 4, GFP_KERNEL | NOFAIL));
  t.ok(kvcalloc(m, 4, GFP_KERNEL), 'one that may be of single pages finds some');
  t.equal(m.slab.fail_nth.get(m.current.pid), 1);
  t.ok(should_fail(m));
  t.end();
});
