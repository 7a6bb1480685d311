// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: Remove device private pages from physical address space: migration entries from pages of v1
// Upstream: 20251231043154.42931-1 (v1), corrected in v2
//
// Bug:
//  1. A coherent device is evicted: the pages of a process become writable migration entries, which keep that they are
//     young and dirty.
//  2. Meanwhile the process calls mprotect(), which makes the entry anew from its page, and readable.
//  3. The function that does that takes no flags: the page comes back as if nobody had used it.
//
// Running: npm run -s regression -- run offsets-downgrade-forgets-young-and-dirty

import type { RegressionCase } from '../../harness/regression/case.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';
import { coherent_config, coherent_params, must, open_device } from '../vocabulary/mirror.ts';
import { OFFSETS } from '../vocabulary/offsets.ts';
import { smaps_kb } from '../vocabulary/proc.ts';
import { thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'Remove device private pages from physical address space: migration entries from pages of v1',
  upstream: '20251231043154.42931-1 (v1), corrected in v2',
  bug: [
    'A coherent device is evicted: the pages of a process become writable migration entries, which keep that they are young and dirty.',
    'Meanwhile the process calls mprotect(), which makes the entry anew from its page, and readable.',
    'The function that does that takes no flags: the page comes back as if nobody had used it.',
  ],
  without: [...OFFSETS, 'offsets-v1-young-dirty'],
  with: OFFSETS,
  fails: { kind: 'assertion', text: 'are referenced' },
  schedule: 'hmm1:2:10.1>2',
  config: coherent_config,
  params: coherent_params,
  *run(c, x) {
    const fd = yield* open_device(c, x, 2);
    const evictor = yield* open_device(c, x, 2);
    const b = yield* small_buffer(c, x, 1);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1, 'migrating to the device');
    yield* c.store32(b.ptr, 99);
    yield* x.together([
      thread('evict the device', function* (t) {
        yield* t.close(evictor);
      }),
      thread('take the right to write', function* (t) {
        yield* t.mprotect(b.ptr, PAGE, U.PROT_READ);
      }),
    ]);
    const referenced = yield* smaps_kb(c, b.ptr, 'Referenced');
    x.check(referenced === 4, `the process has used one page of 4 kB, smaps says that ${referenced} kB are referenced`);
    x.check((yield* c.load32(b.ptr)) === 99, 'the page came back changed');
  },
};

export default regression;
