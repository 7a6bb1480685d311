// SPDX-License-Identifier: GPL-2.0-only
// Port of tools/testing/selftests/mm/hmm-tests.c: its fixtures, variants and tests in upstream's order.

import { FIXTURE, TestList } from '../../harness/kselftest/kselftest_harness.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import type { Libc } from '../../lib/user/libc.ts';
import { _SC_PAGESIZE } from '../../lib/user/uapi.ts';
import {
  anon_read,
  anon_read_multiple,
  anon_read_prot,
  anon_teardown,
  anon_write,
  anon_write_child,
  anon_write_child_shared,
  anon_write_huge,
  anon_write_hugetlbfs,
  anon_write_prot,
  open_close,
} from './anon.ts';
import { benchmark_thp_migration } from './benchmark.ts';
import {
  type Hmm,
  type Hmm2Self,
  type Hmm2Variant,
  HMM_COHERENCE_DEVICE_ONE,
  HMM_COHERENCE_DEVICE_TWO,
  hmm_is_coherent_type,
  hmm_open,
  HMM_PRIVATE_DEVICE_ONE,
  HMM_PRIVATE_DEVICE_TWO,
  type HmmSelf,
  type HmmVariant,
} from './buffer.ts';
import { exclusive, exclusive_cow, exclusive_mprotect } from './exclusive.ts';
import { file_read, file_write } from './file.ts';
import { hmm_cow_in_device, hmm_gup_test } from './gup.ts';
import { hugetlb_restore_settings, hugetlb_settings, hugetlb_setup_default } from './hugepage_settings.ts';
import {
  migrate,
  migrate_fault,
  migrate_file_private,
  migrate_mixed,
  migrate_multiple,
  migrate_release,
  migrate_shared,
} from './migrate.ts';
import { compound, double_map, mixedmap, snapshot } from './snapshot.ts';
import {
  migrate_anon_huge_empty,
  migrate_anon_huge_err,
  migrate_anon_huge_fault,
  migrate_anon_huge_free,
  migrate_anon_huge_zero,
  migrate_anon_huge_zero_err,
  migrate_partial_unmap_fault,
  migrate_remap_fault,
} from './thp.ts';
import { userfaultfd_read } from './userfaultfd.ts';

/** The page size from sysconf(3) and its log2. */
function page_size(c: Libc): { page_size: number; page_shift: number } {
  const size = c.sysconf(_SC_PAGESIZE);
  return { page_size: size, page_shift: Math.log2(size) };
}

/** Tests of the fixture hmm, by name. */
export type OwnTests = Readonly<Record<string, (env: Hmm) => Gen<void>>>;

/**
 * Returns the suite for one run: `hmm-tests` with its 78 tests and the setup of the huge page pool. Tests that are not
 * upstream's come last.
 */
export function hmm_tests(own: OwnTests = {}): TestList {
  const hugetlb = hugetlb_settings();

  const hmm = FIXTURE<HmmSelf, HmmVariant>('hmm');
  hmm.VARIANT_ADD('hmm_device_private', { device_number: HMM_PRIVATE_DEVICE_ONE });
  hmm.VARIANT_ADD('hmm_device_coherent', { device_number: HMM_COHERENCE_DEVICE_ONE });
  hmm.SETUP(function* ({ self, variant, c, t }) {
    Object.assign(self, page_size(c));
    self.fd = yield* hmm_open(c, variant.device_number);
    if (self.fd < 0 && hmm_is_coherent_type(variant.device_number)) t.SKIP('DEVICE_COHERENT not available');
    t.ASSERT_GE(self.fd, 0, 'self->fd', '0');
  });
  hmm.TEARDOWN(function* ({ self, c, t }) {
    const ret = yield* c.close(self.fd);
    t.ASSERT_EQ(ret, 0, 'ret', '0');
    self.fd = -1;
  });

  const hmm2 = FIXTURE<Hmm2Self, Hmm2Variant>('hmm2');
  hmm2.VARIANT_ADD('hmm2_device_private', {
    device_number0: HMM_PRIVATE_DEVICE_ONE,
    device_number1: HMM_PRIVATE_DEVICE_TWO,
  });
  hmm2.VARIANT_ADD('hmm2_device_coherent', {
    device_number0: HMM_COHERENCE_DEVICE_ONE,
    device_number1: HMM_COHERENCE_DEVICE_TWO,
  });
  hmm2.SETUP(function* ({ self, variant, c, t }) {
    Object.assign(self, page_size(c));
    self.fd0 = yield* hmm_open(c, variant.device_number0);
    if (self.fd0 < 0 && hmm_is_coherent_type(variant.device_number0)) t.SKIP('DEVICE_COHERENT not available');
    t.ASSERT_GE(self.fd0, 0, 'self->fd0', '0');
    self.fd1 = yield* hmm_open(c, variant.device_number1);
    t.ASSERT_GE(self.fd1, 0, 'self->fd1', '0');
  });
  hmm2.TEARDOWN(function* ({ self, c, t }) {
    let ret = yield* c.close(self.fd0);
    t.ASSERT_EQ(ret, 0, 'ret', '0');
    self.fd0 = -1;
    ret = yield* c.close(self.fd1);
    t.ASSERT_EQ(ret, 0, 'ret', '0');
    self.fd1 = -1;
  });

  hmm.TEST_F('open_close', open_close);
  hmm.TEST_F('anon_read', anon_read);
  hmm.TEST_F('anon_read_prot', anon_read_prot);
  hmm.TEST_F('anon_write', anon_write);
  hmm.TEST_F('anon_write_prot', anon_write_prot);
  hmm.TEST_F('anon_write_child', anon_write_child);
  hmm.TEST_F('anon_write_child_shared', anon_write_child_shared);
  hmm.TEST_F('anon_write_huge', anon_write_huge);
  hmm.TEST_F('anon_write_hugetlbfs', anon_write_hugetlbfs(hugetlb));
  hmm.TEST_F('file_read', file_read);
  hmm.TEST_F('file_write', file_write);
  hmm.TEST_F('migrate', migrate);
  hmm.TEST_F('migrate_file_private', migrate_file_private);
  hmm.TEST_F('migrate_fault', migrate_fault);
  hmm.TEST_F('migrate_release', migrate_release);
  hmm.TEST_F('migrate_shared', migrate_shared);
  hmm2.TEST_F('migrate_mixed', migrate_mixed);
  hmm.TEST_F('migrate_multiple', migrate_multiple);
  hmm.TEST_F('anon_read_multiple', anon_read_multiple);
  hmm.TEST_F('anon_teardown', anon_teardown);
  hmm.TEST_F('mixedmap', mixedmap);
  hmm2.TEST_F('snapshot', snapshot);
  hmm.TEST_F('compound', compound(hugetlb));
  hmm2.TEST_F('double_map', double_map);
  hmm.TEST_F('exclusive', exclusive);
  hmm.TEST_F('exclusive_mprotect', exclusive_mprotect);
  hmm.TEST_F('exclusive_cow', exclusive_cow);
  hmm.TEST_F('hmm_gup_test', hmm_gup_test);
  hmm.TEST_F('hmm_cow_in_device', hmm_cow_in_device);
  hmm.TEST_F('migrate_anon_huge_empty', migrate_anon_huge_empty);
  hmm.TEST_F('migrate_anon_huge_zero', migrate_anon_huge_zero);
  hmm.TEST_F('migrate_anon_huge_free', migrate_anon_huge_free);
  hmm.TEST_F('migrate_anon_huge_fault', migrate_anon_huge_fault);
  hmm.TEST_F('migrate_partial_unmap_fault', migrate_partial_unmap_fault);
  hmm.TEST_F('migrate_remap_fault', migrate_remap_fault);
  hmm.TEST_F('migrate_anon_huge_err', migrate_anon_huge_err);
  hmm.TEST_F('migrate_anon_huge_zero_err', migrate_anon_huge_zero_err);
  hmm.TEST_F_TIMEOUT('benchmark_thp_migration', 120, benchmark_thp_migration);
  hmm.TEST_F('userfaultfd_read', userfaultfd_read);
  for (const [name, test] of Object.entries(own)) hmm.TEST_F(name, test);

  const list = new TestList('hmm-tests', [hmm, hmm2]);
  list.constructors.push(function* (c) {
    yield* hugetlb_setup_default(c, hugetlb, 1);
  });
  list.atexit.push(function* (c) {
    yield* hugetlb_restore_settings(c, hugetlb);
  });
  return list;
}
