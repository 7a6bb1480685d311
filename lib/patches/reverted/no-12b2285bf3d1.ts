// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-12b2285bf3d1',
  kind: 'reverted',
  subject: 'mm/zone_device: reinitialize large zone device private folios',
  date: '2026',
  where: '12b2285bf3d1',
  merged: true,
  changes: 'zone_device_page_init() takes device pages as their last use left them, also as parts of a large folio.',
  sets: ['device_page_init_as_it_is'],
} as const satisfies PatchState;
