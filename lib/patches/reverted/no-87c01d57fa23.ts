// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-87c01d57fa23',
  kind: 'reverted',
  subject: 'mm/hmm.c: allow VM_MIXEDMAP to work with hmm_range_fault',
  date: '2022',
  where: '87c01d57fa23',
  merged: true,
  changes:
    'hmm_vma_walk_test() takes a vma with VM_MIXEDMAP for device memory without struct pages, as it does one with VM_PFNMAP.',
  bug: [
    'A driver maps single pages of system memory into a process by vm_insert_page(), so that the vma has VM_MIXEDMAP.',
    'The device mirrors the process. get_user_pages() would give it the pages, but hmm_vma_walk_test() refuses the whole vma.',
    'The snapshot says error for pages that can be read.',
  ],
  sets: ['hmm_refuses_mixedmap'],
} as const satisfies PatchState;
