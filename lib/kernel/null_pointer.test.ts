// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { Unmodelled } from '../unmodelled.ts';
import { null_pointer } from './null_pointer.ts';
import { Oops } from './printk.ts';

interface thing {
  first: number;
  second: number;
  third: number;
}

t.test('an access through a NULL pointer oopses at the offset of the member', (t) => {
  const p = null_pointer<thing>((name) => ({ first: 0, second: 32 })[name]);
  t.throws(() => p.first, /^BUG: kernel NULL pointer dereference, address: 0000000000000000$/);
  t.throws(() => (p.second = 1), /^BUG: kernel NULL pointer dereference, address: 0000000000000020$/);
  t.throws(() => p.first, Oops);
  t.throws(() => p.third, Unmodelled, 'a member whose offset nobody gave');
  t.end();
});

t.test('an array of 64-bit words at NULL', (t) => {
  const a = null_pointer<Float64Array>((i) => 8 * Number(i));
  t.throws(() => (a[3] = 0), /address: 0000000000000018/);
  t.end();
});
