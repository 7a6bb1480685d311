// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import {
  hmm_pfn,
  HMM_PFN_ERROR,
  hmm_pfn_flags,
  HMM_PFN_ORDER_SHIFT,
  hmm_pfn_to_map_order,
  hmm_pfn_to_u64,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
} from './hmm.ts';

t.test('an entry keeps its pfn, flags and order apart', (t) => {
  const entry = hmm_pfn(0x7ffffffe, HMM_PFN_VALID | HMM_PFN_WRITE | (18 << HMM_PFN_ORDER_SHIFT));
  t.equal(entry >>> 0, 0x7ffffffe);
  t.equal(hmm_pfn_to_map_order(entry), 18);
  t.equal(hmm_pfn_flags(entry) & HMM_PFN_WRITE, HMM_PFN_WRITE);
  t.equal(hmm_pfn_flags(entry) & HMM_PFN_ERROR, 0);
  t.ok(Number.isSafeInteger(entry));
  t.end();
});

t.test('the real layout has VALID, WRITE and ERROR in the top bits and the order from bit 53 on', (t) => {
  t.equal(hmm_pfn_to_u64(hmm_pfn(0x12345, HMM_PFN_VALID)), 0x8000000000012345n);
  t.equal(hmm_pfn_to_u64(hmm_pfn(1, HMM_PFN_VALID | HMM_PFN_WRITE)), 0xc000000000000001n);
  t.equal(hmm_pfn_to_u64(hmm_pfn(0, HMM_PFN_ERROR)), 0x2000000000000000n);
  t.equal(hmm_pfn_to_u64(hmm_pfn(0x200, HMM_PFN_VALID | (9 << HMM_PFN_ORDER_SHIFT))), 0x8120000000000200n);
  t.end();
});
