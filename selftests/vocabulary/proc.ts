// SPDX-License-Identifier: GPL-2.0-only
// What /proc says of a page.

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { hex } from './expect.ts';
import { PAGE } from './memory.ts';
import * as U from '../../lib/user/uapi.ts';

/**
 * What /proc/self/pagemap says of the page at an address: the pfn of a present one, the type and offset of a swap
 * entry.
 */
export function* pagemap(c: Libc, addr: number): Gen<{ pfn: number } | { type: number; offset: number } | null> {
  const fd = yield* c.open('/proc/self/pagemap', U.O_RDONLY);
  const buf = yield* c.malloc(8);
  yield* c.pread(fd, buf, 8, (addr / PAGE) * 8);
  yield* c.close(fd);
  const [low, high] = [(yield* c.load32(buf)) >>> 0, (yield* c.load32(buf + 4)) >>> 0];
  yield* c.free(buf);
  const frame = (high & 0x7fffff) * 2 ** 32 + low;
  if (high >>> 31) return { pfn: frame };
  return (high >>> 30) & 1 ? { type: frame % 32, offset: Math.floor(frame / 32) } : null;
}

/** The pfn of the page at an address, which must be present. */
export function* pfn_at(c: Libc, x: CaseContext, addr: number): Gen<number> {
  const entry = yield* pagemap(c, addr);
  x.check(entry !== null && 'pfn' in entry, `no page is present at ${hex(addr)}`);
  return (entry as { pfn: number }).pfn;
}

/** A line of /proc/self/smaps in kB, of the vma that begins at the address; -1 if there is none. */
export function* smaps_kb(c: Libc, start: number, field: string): Gen<number> {
  const text = (yield* c.read_file('/proc/self/smaps')) ?? '';
  const vma = text.slice(text.indexOf(`${start.toString(16).padStart(8, '0')}-`));
  return Number(new RegExp(`^${field}:\\s*(\\d+) kB`, 'm').exec(vma)?.[1] ?? -1);
}
