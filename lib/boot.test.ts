// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { boot } from './boot.ts';

const GIB = 1024 ** 3;

t.test('memory that nobody touched costs nothing, whatever there is of it', (t) => {
  const m = boot({ mem: 512 * GIB, phys_bits: 41 });
  t.ok(m.zone.nr_free * 4096 > 500 * GIB);
  t.ok(m.page.bytes() < 8 * 1024 * 1024, `${m.page.bytes()} bytes of struct pages`);
  t.ok(m.ram.resident_bytes() <= 4 * 1024 * 1024);
  t.end();
});
