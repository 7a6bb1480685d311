// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-7ab0ad0e74f8',
  kind: 'reverted',
  subject: 'mm/hmm: fix ZONE_DEVICE anon page mapping reuse',
  date: '2019',
  where: '7ab0ad0e74f8',
  merged: true,
  changes:
    'A device page keeps its mapping when it is freed and when it is used again, and, as in 2019, a new anonymous page that has one is not given another.',
  bug: [
    'A device page is freed and keeps the anon_vma of its last user in page->mapping.',
    'The device fills an empty place with it. The page has a mapping already and is not given that of its new user.',
    "Whoever looks for the page's mappings looks in the wrong place: the device cannot take the page back.",
  ],
  sets: ['device_page_keeps_mapping'],
} as const satisfies PatchState;
