// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { page_pool, PageBuffer, Slab, USED_CODE } from './contents.ts';

const PAGE = 4096;
const SLAB = 512 * PAGE;

const first = (slab: Slab, page: number): number => slab.u32[page * 1024];
const is_all = (bytes: Uint8Array, value: number): boolean => bytes.every((b) => b === value);

t.test('a page is one word repeated until it needs bytes', (t) => {
  const slab = new Slab(page_pool);
  slab.fill(3, 0x12345678);
  slab.fill(4, 0x01010101);
  t.same([slab.word(2), slab.word(3), slab.word(4)], [0, 0x12345678, 0x01010101]);
  t.equal(slab.u8.length, 0);
  for (const page of [2, 3, 4]) slab.need_bytes(page);
  t.same([first(slab, 2), first(slab, 3), first(slab, 4)], [0, 0x12345678, 0x01010101]);
  t.equal(slab.u32[3 * 1024 + 1023], 0x12345678);
  slab.fill(3, 0xffffffff);
  t.ok(is_all(slab.u8.subarray(3 * PAGE, 4 * PAGE), 0xff));
  t.same([slab.is_zero(1), slab.is_zero(2), slab.is_zero(3)], [true, true, false]);
  slab.release();
  t.same([slab.u8.length, slab.word(3), slab.used[3]], [0, 0, 0]);
  t.end();
});

t.test('bytes that another slab left are not seen', (t) => {
  const old = new Slab(page_pool);
  old.overwrite(0);
  old.u8.fill(0x77);
  old.release();
  const slab = new Slab(page_pool);
  slab.need_bytes(9);
  t.ok(is_all(slab.u8.subarray(9 * PAGE, 10 * PAGE), 0));
  slab.write(10 * PAGE + 8, Uint8Array.of(1));
  t.same([...slab.u8.subarray(10 * PAGE, 10 * PAGE + 10)], [0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
  slab.write(11 * PAGE, new Uint8Array(PAGE).fill(5));
  t.ok(is_all(slab.u8.subarray(11 * PAGE, 12 * PAGE), 5));
  slab.release();
  t.end();
});

t.test('a copy makes bytes where the source has some, and of what has none in place of bytes', (t) => {
  const [src, dst] = [new Slab(page_pool), new Slab(page_pool)];
  src.fill(0, 7);
  src.overwrite(1);
  src.u8.fill(0x11, PAGE, 2 * PAGE);
  src.need_bytes(2);
  for (const page of [10, 13]) {
    dst.overwrite(page);
    dst.u8.fill(0x99, page * PAGE, (page + 1) * PAGE);
  }
  dst.copy(10, src, 0, 4);
  t.same(
    [10, 11, 12, 13].map((page) => dst.used[page]),
    [1, 1, 1, 1],
  );
  t.same(
    [10, 11, 12, 13].map((page) => first(dst, page)),
    [7, 0x11111111, 0, 0],
  );
  dst.copy(20, dst, 10, 2);
  t.same([first(dst, 20), first(dst, 21)], [7, 0x11111111]);
  dst.copy(30, src, 0, 1);
  t.same([dst.used[30], dst.word(30)], [0, 7]);
  src.used[1] = USED_CODE;
  dst.copy(31, src, 1, 1);
  t.same([dst.used[31], src.used[1]], [1, USED_CODE], 'reading code leaves it code');
  src.release();
  dst.release();
  t.end();
});

t.test('what was kept can be put back any number of times', (t) => {
  const slab = new Slab(page_pool);
  slab.fill(1, 5);
  slab.write(2 * PAGE, Uint8Array.of(6));
  const put_back = slab.keep();
  for (let k = 0; k < 2; k++) {
    slab.need_bytes(1);
    slab.fill(2, 9);
    slab.fill(3, 9);
    put_back();
    t.same([slab.used[1], slab.word(1), slab.u8[2 * PAGE], slab.word(3)], [0, 5, 6, 0]);
  }
  slab.release();
  t.end();
});

t.test('a buffer takes pages and gives them at any offset', (t) => {
  const taken = page_pool.taken;
  const [src, dst, buffer] = [new Slab(page_pool), new Slab(page_pool), new PageBuffer()];
  for (let page = 0; page < 4; page++) {
    src.overwrite(page);
    src.u8.fill(page + 1, page * PAGE, (page + 1) * PAGE);
  }
  src.fill(4, 0x44);
  src.fill(5, 0x44);
  buffer.take_pages(SLAB - 2 * PAGE, src, 0, 6);
  buffer.read(SLAB - PAGE - 16, dst, 0, PAGE);
  t.same([dst.u8[15], dst.u8[16], dst.u8[PAGE - 1]], [1, 2, 2], 'over the edge of a page');
  buffer.read(SLAB - 16, dst, PAGE, PAGE);
  t.same([dst.u8[PAGE + 15], dst.u8[PAGE + 16]], [2, 3], 'over the edge of a slab');
  buffer.read(SLAB + 2 * PAGE + 16, dst, 2 * PAGE, PAGE);
  t.same([dst.used[2], dst.word(2)], [0, 0x44], 'no bytes are copied as none');
  buffer.read(SLAB + 2 * PAGE - 8, dst, 3 * PAGE + 100, 16);
  t.same([...dst.u8.subarray(3 * PAGE + 106, 3 * PAGE + 110)], [4, 4, 0x44, 0], 'from bytes on to none');
  buffer.write(PAGE - 16, src, 3 * PAGE, PAGE);
  buffer.give_page(PAGE, dst, 9);
  t.same([dst.u8[9 * PAGE], dst.u8[10 * PAGE - 17]], [4, 4]);
  buffer.write(PAGE - 8, src, 4 * PAGE, 16);
  buffer.give_page(PAGE, dst, 9);
  t.equal(dst.u32[9 * 1024], 0x44);
  buffer.free();
  src.release();
  dst.release();
  t.equal(page_pool.taken, taken);
  t.end();
});
