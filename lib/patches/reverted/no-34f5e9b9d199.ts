// SPDX-License-Identifier: GPL-2.0-only

import { Oops } from '../../kernel/printk.ts';
import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-34f5e9b9d199',
  kind: 'reverted',
  subject: 'mm/migrate.c: fix potential indeterminate pte entry in migrate_vma_insert_page()',
  date: '2021',
  where: '34f5e9b9d199',
  merged: true,
  changes:
    'migrate_vma_insert_page() makes no pte for device memory that is neither private nor coherent and uses it all the same; the kernel is one that KMSAN watches.',
  bug: [
    'A driver fills an empty place with device memory that is neither private nor coherent.',
    'migrate_vma_insert_page() has no pte for such memory, and puts what its variable happens to hold in the page table.',
  ],
  seams: {
    // The word on the stack that the pte was never set in has no value in the model: what KMSAN says of its use.
    unsupported_zone_device_page() {
      throw new Oops('BUG: KMSAN: uninit-value in migrate_vma_insert_page');
    },
  },
} as const satisfies PatchState;
