// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-zap-private-file',
  kind: 'reverted',
  subject: 'mm/memory: device-private pages of private file mappings are no reason to warn',
  date: '2025',
  where: 'Linux 7.3.4, mm/memory.c: zap_nonpresent_ptes()',
  merged: true,
  changes:
    'zap_nonpresent_ptes() warns of a device-private or device-exclusive entry in a vma that is not anonymous, instead of one whose folio is not.',
  bug: [
    'A process writes to a private mapping of a file: the page becomes an anonymous one in the vma of a file.',
    'The page migrates to a device; its pte is a device-private entry.',
    'Unmapping the file warns, although everything is as it should be.',
  ],
  sets: ['zap_warns_of_file_vma'],
} as const satisfies PatchState;
