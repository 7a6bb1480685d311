// SPDX-License-Identifier: GPL-2.0-only

import { do_device_private_page_unlocked } from '../../mm/memory/device_private.ts';
import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-16ce101db85d',
  kind: 'reverted',
  subject: 'mm/memory.c: fix race when faulting a device private page',
  date: '2022',
  where: '16ce101db85d',
  merged: true,
  changes:
    'do_swap_page() calls migrate_to_ram() with neither a reference on the private page nor a second look at the pte, and migrate_vma has no fault_page.',
  bug: [
    'Two threads touch the same private page; both have read its pte.',
    'One brings the page back, and the device page is free.',
    'The other calls migrate_to_ram() for the page that is free: what the driver keeps in it is not a mirror any more.',
  ],
  excludes: ['no-b570f37a2ce4', 'no-migrate-to-ram-ret'],
  sets: ['no_fault_page'],
  seams: { device_private_fault: do_device_private_page_unlocked },
} as const satisfies PatchState;
