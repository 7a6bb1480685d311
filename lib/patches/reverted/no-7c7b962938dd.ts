// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-7c7b962938dd',
  kind: 'reverted',
  subject: 'mm: take a page reference when removing device exclusive entries',
  date: '2023',
  where: '7c7b962938dd',
  merged: true,
  changes: 'remove_device_exclusive_entry() locks the folio without holding a reference on it.',
  bug: [
    'A thread touches a page that a device has for exclusive access, and locks its folio without holding a reference.',
    'While it calls the notifiers another thread gives the memory up by madvise().',
    'The last reference goes and the folio is freed with its lock taken.',
  ],
  sets: ['exclusive_fault_without_ref'],
} as const satisfies PatchState;
