// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-zone-device-nr-anon',
  kind: 'reverted',
  subject: 'mm: decrement MTHP_STAT_NR_ANON in free_zone_device_folio()',
  date: '2026',
  where: 'merged (no commit id at hand)',
  merged: true,
  changes: 'A large anonymous folio that is freed on a device stays in the count of large anonymous folios.',
  bug: [
    "A huge page migrates to the device: the device's folio now counts as a large anonymous folio.",
    'It is freed there, by free_zone_device_folio() instead of the page allocator, and stays counted.',
  ],
  sets: ['freed_device_folio_counted'],
} as const satisfies PatchState;
