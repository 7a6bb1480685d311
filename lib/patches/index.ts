// SPDX-License-Identifier: GPL-2.0-only
// Written by `npm run -s regression -- index` from the files in the folders beside it.

import coherent_v3 from './series/coherent-v3.ts';
import device_private_offsets from './series/device-private-offsets.ts';
import exclusive_range from './series/exclusive-range.ts';
import hmm_v14_as_posted from './series/hmm-v14-as-posted.ts';
import hmm_v14_block_ignored from './series/hmm-v14-block-ignored.ts';
import hmm_v14_cached_is_pinned from './series/hmm-v14-cached-is-pinned.ts';
import hmm_v14_counts_twice from './series/hmm-v14-counts-twice.ts';
import hmm_v14_faults_without_permission from './series/hmm-v14-faults-without-permission.ts';
import hmm_v14_isolation_falls_through from './series/hmm-v14-isolation-falls-through.ts';
import hmm_v14_pinned_not_restored from './series/hmm-v14-pinned-not-restored.ts';
import hmm_v14_pinned_off_lru from './series/hmm-v14-pinned-off-lru.ts';
import hmm_v14_remaps_what_failed from './series/hmm-v14-remaps-what-failed.ts';
import hmm_v14_skipped_looks_migrated from './series/hmm-v14-skipped-looks-migrated.ts';
import hmm_v14_skips_empty from './series/hmm-v14-skips-empty.ts';
import hmm_v14_skips_huge from './series/hmm-v14-skips-huge.ts';
import hmm_v14_vma_checked_late from './series/hmm-v14-vma-checked-late.ts';
import hmm_v14 from './series/hmm-v14.ts';
import offsets_no_hmm_flag from './series/offsets-no-hmm-flag.ts';
import offsets_no_migration_types from './series/offsets-no-migration-types.ts';
import offsets_no_mpfn_flag from './series/offsets-no-mpfn-flag.ts';
import offsets_no_pvmw_flag from './series/offsets-no-pvmw-flag.ts';
import offsets_no_snapshot_flag from './series/offsets-no-snapshot-flag.ts';
import offsets_rfc_absent_pmd from './series/offsets-rfc-absent-pmd.ts';
import offsets_rfc_order_shift from './series/offsets-rfc-order-shift.ts';
import offsets_split_tail from './series/offsets-split-tail.ts';
import offsets_tail_of_large from './series/offsets-tail-of-large.ts';
import offsets_ttu_sync from './series/offsets-ttu-sync.ts';
import offsets_v1_migration_read from './series/offsets-v1-migration-read.ts';
import offsets_v1_young_dirty from './series/offsets-v1-young-dirty.ts';
import offsets_v2_nid from './series/offsets-v2-nid.ts';
import src_owner from './series/src-owner.ts';
import no_10b9feee2d0d from './reverted/no-10b9feee2d0d.ts';
import no_12b2285bf3d1 from './reverted/no-12b2285bf3d1.ts';
import no_16ce101db85d from './reverted/no-16ce101db85d.ts';
import no_1afaeb8293c9 from './reverted/no-1afaeb8293c9.ts';
import no_319561669a59 from './reverted/no-319561669a59.ts';
import no_34f5e9b9d199 from './reverted/no-34f5e9b9d199.ts';
import no_3ea277194daa from './reverted/no-3ea277194daa.ts';
import no_41cddf83d8b0 from './reverted/no-41cddf83d8b0.ts';
import no_44af0b45d58d from './reverted/no-44af0b45d58d.ts';
import no_60bae7370896 from './reverted/no-60bae7370896.ts';
import no_63451de16e0a from './reverted/no-63451de16e0a.ts';
import no_7ab0ad0e74f8 from './reverted/no-7ab0ad0e74f8.ts';
import no_7c7b962938dd from './reverted/no-7c7b962938dd.ts';
import no_800bb1c8dc80 from './reverted/no-800bb1c8dc80.ts';
import no_87c01d57fa23 from './reverted/no-87c01d57fa23.ts';
import no_8a295dbbaf72 from './reverted/no-8a295dbbaf72.ts';
import no_939080834fef from './reverted/no-939080834fef.ts';
import no_ad7df764b7e1 from './reverted/no-ad7df764b7e1.ts';
import no_any_unpinnable from './reverted/no-any-unpinnable.ts';
import no_b570f37a2ce4 from './reverted/no-b570f37a2ce4.ts';
import no_c2af060d1c18 from './reverted/no-c2af060d1c18.ts';
import no_coherent_devt from './reverted/no-coherent-devt.ts';
import no_collect_present_dirty from './reverted/no-collect-present-dirty.ts';
import no_dmirror_device_release from './reverted/no-dmirror-device-release.ts';
import no_dmirror_fault_mm_gone from './reverted/no-dmirror-fault-mm-gone.ts';
import no_ebdf8321eeeb from './reverted/no-ebdf8321eeeb.ts';
import no_ed913b055a74 from './reverted/no-ed913b055a74.ts';
import no_ef233450898f from './reverted/no-ef233450898f.ts';
import no_evict_on_close from './reverted/no-evict-on-close.ts';
import no_exclusive_ebusy_fix from './reverted/no-exclusive-ebusy-fix.ts';
import no_exclusive_hugetlb_check from './reverted/no-exclusive-hugetlb-check.ts';
import no_exclusive_mapcount from './reverted/no-exclusive-mapcount.ts';
import no_f84ca9b1888d from './reverted/no-f84ca9b1888d.ts';
import no_fd35ca3d12cc from './reverted/no-fd35ca3d12cc.ts';
import no_hmm_error_efault from './reverted/no-hmm-error-efault.ts';
import no_hmm_hole_check from './reverted/no-hmm-hole-check.ts';
import no_hmm_walk_pmd_pfns from './reverted/no-hmm-walk-pmd-pfns.ts';
import no_hmm_write_check from './reverted/no-hmm-write-check.ts';
import no_insert_page_stable_check from './reverted/no-insert-page-stable-check.ts';
import no_migrate_to_ram_ret from './reverted/no-migrate-to-ram-ret.ts';
import no_pin_before_split from './reverted/no-pin-before-split.ts';
import no_private_subpage from './reverted/no-private-subpage.ts';
import no_read_retry from './reverted/no-read-retry.ts';
import no_to_system_leak_fix from './reverted/no-to-system-leak-fix.ts';
import no_zap_private_file from './reverted/no-zap-private-file.ts';
import no_zone_device_nr_anon from './reverted/no-zone-device-nr-anon.ts';
import fix_coherent_chunk from './proposed/fix-coherent-chunk.ts';
import fix_coherent_deferred_split from './proposed/fix-coherent-deferred-split.ts';
import fix_coherent_split from './proposed/fix-coherent-split.ts';
import fix_collect_coherent_pmd from './proposed/fix-collect-coherent-pmd.ts';
import fix_compound_cpages from './proposed/fix-compound-cpages.ts';
import fix_dmirror_backing_page from './proposed/fix-dmirror-backing-page.ts';
import fix_fail_alloc_huge from './proposed/fix-fail-alloc-huge.ts';
import fix_hmm_absent_pmd_pfn from './proposed/fix-hmm-absent-pmd-pfn.ts';
import fix_migrate_alloc_null from './proposed/fix-migrate-alloc-null.ts';
import fix_split_other_pmds from './proposed/fix-split-other-pmds.ts';
import type { PatchState } from './patch_state.ts';

/** The ids of all patch states: the names of their files. */
export const patch_ids = [
  'coherent-v3',
  'device-private-offsets',
  'exclusive-range',
  'hmm-v14-as-posted',
  'hmm-v14-block-ignored',
  'hmm-v14-cached-is-pinned',
  'hmm-v14-counts-twice',
  'hmm-v14-faults-without-permission',
  'hmm-v14-isolation-falls-through',
  'hmm-v14-pinned-not-restored',
  'hmm-v14-pinned-off-lru',
  'hmm-v14-remaps-what-failed',
  'hmm-v14-skipped-looks-migrated',
  'hmm-v14-skips-empty',
  'hmm-v14-skips-huge',
  'hmm-v14-vma-checked-late',
  'hmm-v14',
  'offsets-no-hmm-flag',
  'offsets-no-migration-types',
  'offsets-no-mpfn-flag',
  'offsets-no-pvmw-flag',
  'offsets-no-snapshot-flag',
  'offsets-rfc-absent-pmd',
  'offsets-rfc-order-shift',
  'offsets-split-tail',
  'offsets-tail-of-large',
  'offsets-ttu-sync',
  'offsets-v1-migration-read',
  'offsets-v1-young-dirty',
  'offsets-v2-nid',
  'src-owner',
  'no-10b9feee2d0d',
  'no-12b2285bf3d1',
  'no-16ce101db85d',
  'no-1afaeb8293c9',
  'no-319561669a59',
  'no-34f5e9b9d199',
  'no-3ea277194daa',
  'no-41cddf83d8b0',
  'no-44af0b45d58d',
  'no-60bae7370896',
  'no-63451de16e0a',
  'no-7ab0ad0e74f8',
  'no-7c7b962938dd',
  'no-800bb1c8dc80',
  'no-87c01d57fa23',
  'no-8a295dbbaf72',
  'no-939080834fef',
  'no-ad7df764b7e1',
  'no-any-unpinnable',
  'no-b570f37a2ce4',
  'no-c2af060d1c18',
  'no-coherent-devt',
  'no-collect-present-dirty',
  'no-dmirror-device-release',
  'no-dmirror-fault-mm-gone',
  'no-ebdf8321eeeb',
  'no-ed913b055a74',
  'no-ef233450898f',
  'no-evict-on-close',
  'no-exclusive-ebusy-fix',
  'no-exclusive-hugetlb-check',
  'no-exclusive-mapcount',
  'no-f84ca9b1888d',
  'no-fd35ca3d12cc',
  'no-hmm-error-efault',
  'no-hmm-hole-check',
  'no-hmm-walk-pmd-pfns',
  'no-hmm-write-check',
  'no-insert-page-stable-check',
  'no-migrate-to-ram-ret',
  'no-pin-before-split',
  'no-private-subpage',
  'no-read-retry',
  'no-to-system-leak-fix',
  'no-zap-private-file',
  'no-zone-device-nr-anon',
  'fix-coherent-chunk',
  'fix-coherent-deferred-split',
  'fix-coherent-split',
  'fix-collect-coherent-pmd',
  'fix-compound-cpages',
  'fix-dmirror-backing-page',
  'fix-fail-alloc-huge',
  'fix-hmm-absent-pmd-pfn',
  'fix-migrate-alloc-null',
  'fix-split-other-pmds',
] as const;

/** A way in which a machine can differ from Linux 7.3.4. */
export type PatchId = (typeof patch_ids)[number];

const states = [
  coherent_v3,
  device_private_offsets,
  exclusive_range,
  hmm_v14_as_posted,
  hmm_v14_block_ignored,
  hmm_v14_cached_is_pinned,
  hmm_v14_counts_twice,
  hmm_v14_faults_without_permission,
  hmm_v14_isolation_falls_through,
  hmm_v14_pinned_not_restored,
  hmm_v14_pinned_off_lru,
  hmm_v14_remaps_what_failed,
  hmm_v14_skipped_looks_migrated,
  hmm_v14_skips_empty,
  hmm_v14_skips_huge,
  hmm_v14_vma_checked_late,
  hmm_v14,
  offsets_no_hmm_flag,
  offsets_no_migration_types,
  offsets_no_mpfn_flag,
  offsets_no_pvmw_flag,
  offsets_no_snapshot_flag,
  offsets_rfc_absent_pmd,
  offsets_rfc_order_shift,
  offsets_split_tail,
  offsets_tail_of_large,
  offsets_ttu_sync,
  offsets_v1_migration_read,
  offsets_v1_young_dirty,
  offsets_v2_nid,
  src_owner,
  no_10b9feee2d0d,
  no_12b2285bf3d1,
  no_16ce101db85d,
  no_1afaeb8293c9,
  no_319561669a59,
  no_34f5e9b9d199,
  no_3ea277194daa,
  no_41cddf83d8b0,
  no_44af0b45d58d,
  no_60bae7370896,
  no_63451de16e0a,
  no_7ab0ad0e74f8,
  no_7c7b962938dd,
  no_800bb1c8dc80,
  no_87c01d57fa23,
  no_8a295dbbaf72,
  no_939080834fef,
  no_ad7df764b7e1,
  no_any_unpinnable,
  no_b570f37a2ce4,
  no_c2af060d1c18,
  no_coherent_devt,
  no_collect_present_dirty,
  no_dmirror_device_release,
  no_dmirror_fault_mm_gone,
  no_ebdf8321eeeb,
  no_ed913b055a74,
  no_ef233450898f,
  no_evict_on_close,
  no_exclusive_ebusy_fix,
  no_exclusive_hugetlb_check,
  no_exclusive_mapcount,
  no_f84ca9b1888d,
  no_fd35ca3d12cc,
  no_hmm_error_efault,
  no_hmm_hole_check,
  no_hmm_walk_pmd_pfns,
  no_hmm_write_check,
  no_insert_page_stable_check,
  no_migrate_to_ram_ret,
  no_pin_before_split,
  no_private_subpage,
  no_read_retry,
  no_to_system_leak_fix,
  no_zap_private_file,
  no_zone_device_nr_anon,
  fix_coherent_chunk,
  fix_coherent_deferred_split,
  fix_coherent_split,
  fix_collect_coherent_pmd,
  fix_compound_cpages,
  fix_dmirror_backing_page,
  fix_fail_alloc_huge,
  fix_hmm_absent_pmd_pfn,
  fix_migrate_alloc_null,
  fix_split_other_pmds,
] as const;

/** Every state in which a machine can differ from Linux 7.3.4: series applied, fixes taken back out, fixes proposed. */
export const patch_states: readonly PatchState[] = states;

type Sets<State> = State extends { readonly sets: readonly (infer Name extends string)[] } ? Name : never;

/** What the lines of the kernel ask for that differ in some state: false on Linux 7.3.4. */
export type Patch = Readonly<Record<Sets<(typeof states)[number]>, boolean>>;
