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
  bug: [
    "A device's memory was one huge folio, which is free again.",
    'The driver gives two of its pages out as single pages. zone_device_page_init() leaves the compound page as it was, so to the kernel they are one folio, of 512 pages.',
    "The migration of the first page ends with the folio's last reference; that of the second works on a free folio.",
  ],
  sets: ['device_page_init_as_it_is'],
} as const satisfies PatchState;
