// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run offsets-used-again

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { RegressionCase } from '../../harness/regression/case.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { PAGE, small_buffer, word } from '../vocabulary/memory.ts';
import { must, open_device, snapshot } from '../vocabulary/mirror.ts';
import { OFFSETS } from '../vocabulary/offsets.ts';
import { pagemap } from '../vocabulary/proc.ts';
import * as U from '../hmm-tests/uapi.ts';

const CHUNK_PAGES = 65536;

function* offset_of(c: Libc, x: CaseContext, addr: number): Gen<number> {
  const entry = yield* pagemap(c, addr);
  if (entry !== null && 'offset' in entry) return entry.offset;
  x.check(false, `pagemap shows no swap entry: ${JSON.stringify(entry)}`);
  return -1;
}

const regression: RegressionCase = {
  state: 'device-private-offsets',
  bug: [
    'Device 0 has a page in its first chunk, device 1 one in its own.',
    "RELEASE unmaps device 0's memory, and its next page is in a chunk that is mapped anew.",
    "With the series that chunk has the offsets of the one before it, from 0 on, and every number means the new page; device 1's page is what it was. Without the series the numbers are pfns at the end of the physical address space.",
  ],
  without: [],
  with: OFFSETS,
  fails: { kind: 'assertion', text: 'is not an offset in the first chunk' },
  *run(c, x) {
    const fd = yield* open_device(c, x, 0);
    const other = yield* open_device(c, x, 1);
    const b = yield* small_buffer(c, x, 2);
    const kept = yield* small_buffer(c, x, 1);
    yield* must(c, x, other, U.HMM_DMIRROR_MIGRATE_TO_DEV, kept, 1, 'migrating to device 1');
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 'migrating to device 0');
    const before = yield* offset_of(c, x, b.ptr);
    x.check(before < CHUNK_PAGES, `${before} is not an offset in the first chunk`);

    yield* must(c, x, fd, U.HMM_DMIRROR_RELEASE, b, 2, 'releasing the memory of device 0');
    for (let i = 0; i < 2; i++) x.check((yield* c.load32(b.ptr + i * PAGE)) === word(i), `page ${i} came back changed`);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 2, 'migrating to device 0 once more');
    const after = yield* offset_of(c, x, b.ptr);
    x.check(after === before, `the page has offset ${after}, not ${before} as the one before it`);

    const seen = yield* snapshot(c, fd, b, 2);
    const local = U.HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL | U.HMM_DMIRROR_PROT_WRITE;
    x.check(
      typeof seen !== 'number' && seen.every((p) => p === local),
      `device 0 sees ${String(seen)}, not its own pages`,
    );
    for (let i = 0; i < 2; i++)
      x.check((yield* c.load32(b.ptr + i * PAGE)) === word(i), `page ${i} came back from the new chunk changed`);
    x.check((yield* c.load32(kept.ptr)) === word(0), "device 1's page came back changed");
  },
};

export default regression;
