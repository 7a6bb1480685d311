// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { page_pool, PageBuffer } from './contents.ts';
import { PhysMem } from './physmem.ts';

const PAGE = 4096;
const CHUNK = 512;

t.test('only memory of the linear map can be addressed, and what leaves it loses its contents', (t) => {
  const ram = new PhysMem();
  ram.set_linear(1024, 1024, true);
  t.same(
    [1023, 1024, 2047, 2048].map((pfn) => ram.is_linear(pfn)),
    [false, true, true, false],
  );
  ram.bytes(1600)[0] = 9;
  t.equal(ram.bytes(1600)[0], 9);
  ram.set_linear(1536, CHUNK, false);
  t.throws(() => ram.bytes(1600), /page fault for address: ffff888000640000/);
  t.equal(ram.bytes(1535)[0], 0, 'its neighbour is still there');
  ram.set_linear(1536, CHUNK, true);
  t.equal(ram.bytes(1600)[0], 0);
  t.throws(() => ram.bytes(2 ** 30), { name: 'Oops' }, 'nobody ever heard of that pfn');
  t.equal(ram.is_linear(2 ** 30), false);
  t.equal(ram.section_if_present(2 ** 30), undefined);
  t.end();
});

t.test('bytes exist from the first access on', (t) => {
  const ram = new PhysMem();
  ram.set_linear(0, 32768, true);
  t.equal(ram.resident_bytes(), 0);
  ram.bytes(0);
  ram.bytes(511);
  t.equal(ram.resident_bytes(), CHUNK * PAGE);
  ram.bytes(512);
  t.equal(ram.resident_bytes(), 2 * CHUNK * PAGE);
  t.equal(ram.bytes(7).length, PAGE);
  t.not(ram.bytes(7).byteOffset, ram.bytes(8).byteOffset);
  t.end();
});

t.test('a page that was used is zeroed again', (t) => {
  const ram = new PhysMem();
  ram.set_linear(0, CHUNK, true);
  ram.clear(3);
  t.ok(ram.bytes(3).every((b) => b === 0));
  ram.bytes(3).fill(1);
  ram.bytes(4).fill(2);
  ram.clear(3);
  t.ok(ram.bytes(3).every((b) => b === 0));
  t.ok(ram.bytes(4).every((b) => b === 2));
  ram.clear(5);
  ram.bytes(5)[0] = 1;
  ram.clear(5);
  t.equal(ram.bytes(5)[0], 0, 'also if its first use was to be zeroed');
  t.end();
});

t.test('copies and reads go over the edges of the pieces that memory comes in', (t) => {
  const ram = new PhysMem();
  ram.set_linear(0, 4 * CHUNK, true);
  for (let i = 0; i < 6; i++) ram.bytes(509 + i).fill(0x10 + i);
  ram.copy(1021, 509, 6);
  t.same(
    [0, 1, 2, 3, 4, 5].map((i) => ram.bytes(1021 + i)[PAGE - 1]),
    [0x10, 0x11, 0x12, 0x13, 0x14, 0x15],
  );
  ram.copy(600, 513);
  t.equal(ram.bytes(600)[0], 0x14);
  t.equal(ram.bytes(601)[0], 0);
  ram.clear(600);
  t.equal(ram.bytes(600)[0], 0, 'a copy is a use');
  const to = new PageBuffer();
  ram.read(510, 4, to, PAGE);
  for (let i = 1; i < 5; i++) ram.write(100 + i, to, i * PAGE);
  t.same(
    [0, 1, 2, 3, 4].map((i) => ram.bytes(100 + i)[5]),
    [0, 0x11, 0x12, 0x13, 0x14],
  );
  t.throws(() => ram.copy(2047, 0, 2), { name: 'Oops' });
  t.end();
});

t.test('what was only cleared, or copied from such, takes no memory', (t) => {
  const ram = new PhysMem();
  ram.set_linear(0, 2 * CHUNK, true);
  for (let i = 0; i < CHUNK; i++) ram.clear(i);
  ram.copy(CHUNK, 0, CHUNK);
  t.equal(ram.resident_bytes(), 0);
  t.same([ram.is_zero(0), ram.is_zero(CHUNK + 7)], [true, true]);
  ram.bytes(7)[4095] = 1;
  t.same([ram.is_zero(6), ram.is_zero(7)], [true, false]);
  t.end();
});

t.test("contents of a machine that has ended are the next one's", (t) => {
  const before = page_pool.taken;
  for (let k = 0; k < 5; k++) {
    const ram = new PhysMem();
    ram.set_linear(0, 4 * CHUNK, true);
    for (let i = 0; i < 4; i++) {
      t.ok(ram.bytes(i * CHUNK).every((b) => b === 0));
      ram.bytes(i * CHUNK).fill(0xaa);
    }
    t.equal(page_pool.taken, before + 4);
    ram.release();
  }
  t.equal(page_pool.taken, before);
  t.end();
});
