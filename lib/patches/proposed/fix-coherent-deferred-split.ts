// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'fix-coherent-deferred-split',
  kind: 'proposed',
  subject: 'mm/memremap: take a device folio off the deferred split queue',
  date: '2026',
  where: 'recorded warnings in uncharge_folio()',
  merged: false,
  changes: 'free_zone_device_folio() takes a folio off the queue of those that are to be split before it uncharges it.',
  bug: [
    'Half of a huge page of coherent device memory is unmapped, so the folio is queued for splitting under memory pressure.',
    'The other half is unmapped too. __folio_put() gives a device folio to free_zone_device_folio(), which nobody told about the queue.',
    'uncharge_folio() finds the folio queued, and warns.',
  ],
  sets: ['frees_device_folio_unqueued'],
} as const satisfies PatchState;
