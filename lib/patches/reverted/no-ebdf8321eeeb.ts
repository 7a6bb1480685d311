// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-ebdf8321eeeb',
  kind: 'reverted',
  subject: 'mm/migrate: fixup setting UFFD_WP flag',
  date: '2020',
  where: 'ebdf8321eeeb',
  merged: true,
  changes:
    'remove_migration_pte() marks a device-private entry write-protected for userfaultfd by the bit of present ptes, which belongs to the offset of a leaf.',
  bug: [
    'Pages that a userfaultfd keeps write-protected migrate to the device.',
    'remove_migration_pte() marks their device-private entries by the bit that present ptes have for it. In a leaf this is bit 1 of the inverted offset, so the entry names the page two pfns below.',
    'Two addresses have one page, with one reference.',
  ],
  sets: ['private_uffd_wp_as_present'],
} as const satisfies PatchState;
