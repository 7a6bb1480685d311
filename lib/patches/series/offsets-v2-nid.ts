// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'offsets-v2-nid',
  kind: 'series',
  subject: 'Remove device private pages from physical address space: NUMA_NO_NODE of v2',
  date: '2026-01-07',
  where: '20260107091823.68974-1 (v2)',
  merged: false,
  changes: "memremap_device_private_pagemap() takes node -1 as it is, and such memory has no node's counters.",
  bug: [
    "A driver that does not know which node its memory is near calls memremap_device_private_pagemap() with NUMA_NO_NODE, as the ultravisor's does.",
    'The number is taken as it is: the pages are on node -1.',
    "Mapping one of them is counted by lruvec_stat_mod_folio(), which looks for the node's counters.",
  ],
  needs: ['device-private-offsets'],
  sets: ['no_node_as_it_is'],
} as const satisfies PatchState;
