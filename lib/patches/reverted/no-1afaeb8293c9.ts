// SPDX-License-Identifier: GPL-2.0-only

import { do_device_private_page_without_lock } from '../../mm/memory/device_private.ts';
import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-1afaeb8293c9',
  kind: 'reverted',
  subject: 'mm/migrate: Trylock device page in do_swap_page',
  date: '2025',
  where: '1afaeb8293c9',
  merged: true,
  changes: 'do_swap_page() takes a reference on the private page but not its lock; whoever migrates locks it.',
  bug: [
    'Several threads touch one private page. Each takes a reference on it and then tries to migrate it.',
    'The one that has the lock counts the references, finds those of the others and gives up.',
    'It faults again and takes a reference once more before the next one counts: nobody ever brings the page back.',
  ],
  excludes: ['no-b570f37a2ce4', 'no-16ce101db85d'],
  sets: ['fault_page_unlocked'],
  seams: { device_private_fault: do_device_private_page_without_lock },
} as const satisfies PatchState;
