// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: Remove device private pages from physical address space: NUMA_NO_NODE of v2
// Upstream: 20260107091823.68974-1 (v2), corrected in v3
//
// Bug:
//  1. A driver that does not know which node its memory is near calls memremap_device_private_pagemap() with
//     NUMA_NO_NODE, as the ultravisor's does.
//  2. The number is taken as it is: the pages are on node -1.
//  3. Mapping one of them is counted by lruvec_stat_mod_folio(), which looks for the node's counters.
//
// Running: npm run -s regression -- run offsets-of-memory-on-no-node

import type { RegressionCase } from '../../harness/regression/case.ts';
import { small_buffer, word } from '../vocabulary/memory.ts';
import { OFFSET_PUT, OFFSETS, offsets, open_offsets } from '../vocabulary/offsets.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: 'Remove device private pages from physical address space: NUMA_NO_NODE of v2',
  upstream: '20260107091823.68974-1 (v2), corrected in v3',
  bug: [
    "A driver that does not know which node its memory is near calls memremap_device_private_pagemap() with NUMA_NO_NODE, as the ultravisor's does.",
    'The number is taken as it is: the pages are on node -1.',
    "Mapping one of them is counted by lruvec_stat_mod_folio(), which looks for the node's counters.",
  ],
  without: [...OFFSETS, 'offsets-v2-nid'],
  with: OFFSETS,
  fails: { kind: 'oops', text: 'lruvec_stat_mod_folio' },
  params: null,
  *run(c, x) {
    const fd = yield* open_offsets(c, x, { nid: -1 });
    const b = yield* small_buffer(c, x, 1);
    yield* offsets(c, x, fd, OFFSET_PUT, b.ptr, 0);
    x.check((yield* c.load32(b.ptr)) === word(0), 'the page came back changed');
  },
};

export default regression;
