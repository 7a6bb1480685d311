// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { boot } from '../../boot.ts';
import { page_to_pfn } from '../../mm/page.ts';
import {
  dev_page_allow_migrate,
  HMM_PFN_DEVICE,
  HMM_PFN_EMPTY,
  HMM_PFN_ERROR,
  hmm_pfn_from_pfn,
  HMM_PFN_LOCKED,
  HMM_PFN_MIGRATE,
  HMM_PFN_READ,
  HMM_PFN_SHIFT,
  HMM_PFN_SPECIAL,
  hmm_pfn_to_page,
  HMM_PFN_UNADDRESSABLE,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
  is_addressable_page,
  MEMORY_DEVICE,
  MEMORY_DEVICE_ALLOW_MIGRATE,
  MEMORY_DEVICE_UNADDRESSABLE,
  MEMORY_NORMAL,
  page_devmem,
} from './hmm.ts';

t.test('the flags are the bits that the patch gives them', (t) => {
  const flags = [
    HMM_PFN_VALID,
    HMM_PFN_READ,
    HMM_PFN_WRITE,
    HMM_PFN_ERROR,
    HMM_PFN_EMPTY,
    HMM_PFN_DEVICE,
    HMM_PFN_LOCKED,
    HMM_PFN_SPECIAL,
    HMM_PFN_MIGRATE,
    HMM_PFN_UNADDRESSABLE,
  ];
  t.same(flags, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
  t.equal(HMM_PFN_SHIFT, 10);
  t.same([MEMORY_NORMAL, MEMORY_DEVICE, MEMORY_DEVICE_ALLOW_MIGRATE, MEMORY_DEVICE_UNADDRESSABLE], [0, 1, 2, 4]);
  t.end();
});

t.test('an entry names a page only if it is valid', (t) => {
  const m = boot({ mem: 128 * 1024 * 1024 });
  const pfn = page_to_pfn(m, m.zero_page);
  t.equal(hmm_pfn_to_page(m, hmm_pfn_from_pfn(pfn) + HMM_PFN_MIGRATE + HMM_PFN_UNADDRESSABLE), m.zero_page);
  t.equal(hmm_pfn_to_page(m, hmm_pfn_from_pfn(pfn) - HMM_PFN_VALID), 0);
  t.equal(hmm_pfn_to_page(m, HMM_PFN_ERROR), 0);
  t.equal(hmm_pfn_from_pfn(2 ** 31), 2 ** 41 + 1, 'beyond 32 bits');
  t.end();
});

t.test('a page of system memory is no device page', (t) => {
  const m = boot({ mem: 128 * 1024 * 1024 });
  t.equal(page_devmem(m, m.zero_page), null);
  t.notOk(dev_page_allow_migrate(m, m.zero_page));
  t.ok(is_addressable_page(m, m.zero_page));
  t.end();
});
