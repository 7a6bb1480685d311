// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'no-319561669a59',
  kind: 'reverted',
  subject: 'mm/mmu_notifier.c: fix race in mmu_interval_notifier_remove()',
  date: '2022',
  where: '319561669a59',
  merged: true,
  changes:
    'mmu_interval_notifier_remove() reads the sequence number of its subscriptions without their lock while it waits for an invalidation to end.',
  bug: [
    "A thread's invalidation runs. Another thread ends a subscription, which can only be taken off the tree when it is over, and is put on the list of those.",
    'The invalidation ends: under the lock mn_itree_inv_end() moves the sequence number on and goes through the list.',
    'In between the other thread sees the new number and does not wait. What it subscribed with is freed.',
    'mn_itree_inv_end() takes it off the tree.',
  ],
  sets: ['notifier_remove_peeks'],
} as const satisfies PatchState;
