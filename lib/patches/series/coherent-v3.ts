// SPDX-License-Identifier: GPL-2.0-only

import type { PatchState } from '../patch_state.ts';

export default {
  id: 'coherent-v3',
  kind: 'series',
  subject: 'Add MEMORY_DEVICE_COHERENT for coherent device memory mapping (v3)',
  date: '2022-01-10',
  where: 'seed 002, 20220110223201.31024-1-alex.sierra@amd.com',
  merged: false,
  changes:
    'try_to_migrate() passes over coherent pages; pinning them for long fails with -EFAULT, and works by the fast path; migrate_vma selects the zero page whatever the flags. struct hmm_dmirror_cmd has a sixth u64, zone_device_type, for HMM_DMIRROR_GET_MEM_DEV_TYPE, which is the last ioctl.',
  excludes: ['src-owner', 'no-800bb1c8dc80', 'no-any-unpinnable'],
  sets: ['coherent_v3'],
} as const satisfies PatchState;
