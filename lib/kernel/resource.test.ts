// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { Machine } from '../machine.ts';
import {
  region_intersects,
  release_mem_region,
  request_free_mem_region,
  request_mem_region,
  resource,
} from './resource.ts';

const GiB = 1024 ** 3;
const MiB = 1024 ** 2;
const SYSTEM_RAM = 0x01000200;

t.test('6 GiB lie as 3 GiB below the hole and 3 GiB from 4 GiB on, less what is reserved', async (t) => {
  const m = new Machine({ reserved: [{ start: 0x140000000, size: 512 * MiB }] });
  t.same(m.iomem.ram_spans(), [
    { start: 4 * MiB, end: 3 * GiB },
    { start: 4 * GiB, end: 5 * GiB },
    { start: 5.5 * GiB, end: 7 * GiB },
  ]);
  t.equal(region_intersects(m, 0x140000000, 256 * MiB, SYSTEM_RAM, 0), 1, 'reserved memory is disjoint from RAM');
  t.equal(region_intersects(m, 0x100000000, 256 * MiB, SYSTEM_RAM, 0), 0, 'RAM intersects');
  t.equal(region_intersects(m, 0x130000000, 512 * MiB, SYSTEM_RAM, 0), 2, 'both is mixed');
});

t.test('a small machine has no memory above 4 GiB', async (t) => {
  const m = new Machine({ mem: 2 * GiB });
  t.same(m.iomem.ram_spans(), [{ start: 4 * MiB, end: 2 * GiB }]);
});

t.test('memory that phys_bits cannot address is refused', async (t) => {
  t.throws(() => new Machine({ mem: 6 * GiB, phys_bits: 32 }), /phys_bits 32/);
});

t.test('free regions come from the top down, and come back when released', async (t) => {
  const m = new Machine({ phys_bits: 40 });
  const a = request_free_mem_region(m, null, 256 * MiB, 'a');
  const b = request_free_mem_region(m, null, 256 * MiB, 'b');
  t.ok(a instanceof resource && a.start === 2 ** 40 - 256 * MiB);
  t.ok(b instanceof resource && b.start === 2 ** 40 - 512 * MiB);
  release_mem_region(m, 2 ** 40 - 256 * MiB, 256 * MiB);
  const c = request_free_mem_region(m, null, 256 * MiB, 'c');
  t.ok(c instanceof resource && c.start === 2 ** 40 - 256 * MiB);
  release_mem_region(m, 0x1000, 0x1000);
  t.match(m.log.lines.at(-1), /nonexistent resource/);
});

t.test('with 33 bits there is room for four chunks of 256 MiB above 7 GiB, then -ERANGE', async (t) => {
  const m = new Machine({ phys_bits: 33 });
  for (let i = 0; i < 4; i++) t.ok(request_free_mem_region(m, null, 256 * MiB, 'x') instanceof resource);
  t.equal(request_free_mem_region(m, null, 256 * MiB, 'x'), -34);
});

t.test('a busy region cannot be claimed twice', async (t) => {
  const m = new Machine({ phys_bits: 36 });
  t.ok(request_mem_region(m, 0x800000000, 0x1000, 'x'));
  t.equal(request_mem_region(m, 0x800000000, 0x2000, 'y'), null);
  t.equal(request_mem_region(m, 0x100000000, 0x1000, 'in RAM'), null);
});
