// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { boot } from '../boot.ts';

const MIB = 1024 * 1024;

t.test('a configuration out of range is refused by name, value and expectation', (t) => {
  for (const [config, text] of [
    [{ mem: 5 * MIB + 1 }, /mem is 5242881: expected a multiple of 4 MiB/],
    [{ phys_bits: 60 }, /phys_bits is 60: expected 32 to 43/],
    [{ cpus: 0 }, /cpus is 0: expected 1 to 32/],
    [{ patches: ['src-owner', 'no-800bb1c8dc80'] }, /patch states src-owner and no-800bb1c8dc80 exclude each other/],
  ] as const)
    t.throws(() => boot(config), text);
  t.end();
});

t.test('a machine comes up with a zero page and its memory free', (t) => {
  const m = boot({ mem: 64 * MIB });
  t.equal(m.page._refcount[m.zero_page], 1);
  t.ok(m.zone.nr_free * 4096 > 48 * MIB);
  t.equal(m.sched.tasks.length, 0);
  t.end();
});
