// SPDX-License-Identifier: GPL-2.0-only
// The configuration of a kernel, as far as results depend on it.

/** What the model is built as, and what a kernel that is built otherwise does differently. */
const MODELLED: readonly { option: string; value: string; matters: string }[] = [
  { option: '64BIT', value: 'y', matters: 'only x86-64 is modelled' },
  { option: 'X86_64', value: 'y', matters: 'only x86-64 is modelled' },
  { option: 'SMP', value: 'y', matters: 'TLB flushes and races of a machine with one CPU' },
  { option: 'DEBUG_VM', value: 'y', matters: 'VM_BUG_ON and VM_WARN_ON reports do not come' },
  { option: 'TRANSPARENT_HUGEPAGE', value: 'y', matters: 'no huge pages: the tests for them fail or skip' },
  { option: 'DEVICE_PRIVATE', value: 'y', matters: 'no device-private memory: all its tests fail' },
  { option: 'HMM_MIRROR', value: 'y', matters: 'no hmm_range_fault()' },
  { option: 'MMU_NOTIFIER', value: 'y', matters: 'no mirrors' },
  { option: 'MIGRATION', value: 'y', matters: 'nothing migrates' },
  { option: 'HUGETLB_PAGE', value: 'y', matters: 'the hugetlbfs tests skip' },
  { option: 'USERFAULTFD', value: 'y', matters: 'userfaultfd(2) is -ENOSYS' },
  { option: 'GUP_TEST', value: 'y', matters: 'hmm_gup_test skips' },
  { option: 'TEST_HMM', value: 'm', matters: 'no test device' },
  { option: 'MEMCG', value: 'y', matters: 'charges and their checks' },
  { option: 'NUMA', value: 'n', matters: 'NUMA hinting faults and demotion are not modelled' },
  { option: 'LRU_GEN', value: 'n', matters: 'reclaim picks pages by generations, which is not modelled' },
  { option: 'SPARSEMEM_VMEMMAP', value: 'y', matters: 'struct page of device memory is found otherwise' },
];

export interface ConfigDifference {
  option: string;
  here: string;
  modelled: string;
  matters: string;
}

/** Where a .config differs from what is modelled; an option that it does not name is n. */
export function config_differences(config: string): ConfigDifference[] {
  const set = new Map([...config.matchAll(/^CONFIG_(\w+)=(.*)$/gm)].map(([, option, value]) => [option, value]));
  return MODELLED.flatMap(({ option, value, matters }) => {
    const here = set.get(option) ?? 'n';
    const same = here === value || (value === 'm' && here === 'y');
    return same ? [] : [{ option: `CONFIG_${option}`, here, modelled: value, matters }];
  });
}
