// SPDX-License-Identifier: GPL-2.0-only

import { do_device_private_page_of_v14 } from '../../mm/memory/device_private.ts';
import type { PatchState } from '../patch_state.ts';

export default {
  id: 'hmm-v14',
  kind: 'series',
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2',
  date: '2016-12-08',
  where: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com, seed 003',
  merged: false,
  changes:
    'The kernel has hmm_vma_migrate(), hmm_vma_fault() and hmm_devmem, corrected as what was merged of them in 4.14 was; their client is the module hmm_v14. A fault on such memory neither locks the page nor takes a reference on it.',
  // There the pfns of private pages are gone, which an hmm_pfn_t consists of.
  bug: [
    'A driver for memory that the CPU cannot reach wants to move a range of a process there.',
    'The kernel has no hmm_vma_migrate(), so the driver does not load.',
  ],
  excludes: ['no-16ce101db85d', 'no-1afaeb8293c9', 'no-b570f37a2ce4', 'device-private-offsets'],
  sets: ['hmm_v14'],
  seams: { device_private_fault: do_device_private_page_of_v14 },
} as const satisfies PatchState;
