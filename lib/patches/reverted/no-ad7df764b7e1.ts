// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-ad7df764b7e1',
  kind: 'reverted',
  subject: 'mm/rmap: fixup copying of soft dirty and uffd flags',
  date: '2020',
  where: 'ad7df764b7e1',
  merged: true,
  changes:
    "Migration of a private page takes soft-dirty and userfaultfd's write protection from the bits of present ptes, which belong to the offset of a leaf.",
  bug: [
    'Pages that a userfaultfd keeps write-protected are on the device.',
    "They come back. Their migration entries take the mark from where present ptes have it; in a device-private entry this is bit 1 of the inverted offset, that is of the page's pfn.",
    'Half of the pages are not protected any more.',
  ],
  sets: ['leaf_bits_as_present'],
} as const satisfies PatchState;
