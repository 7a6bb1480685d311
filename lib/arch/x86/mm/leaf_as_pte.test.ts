// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { make_readable_device_private_entry, softleaf_is_device_private, swp_offset } from '../../../mm/leafops.ts';
import { leaf_pte_dirty, leaf_pte_mkuffd, leaf_pte_pfn, leaf_pte_soft_dirty, leaf_pte_uffd } from './leaf_as_pte.ts';
import { pte_mksoft_dirty, pte_soft_dirty, pte_uffd } from './pgtable/pgtable.ts';

/** A non-present entry as on x86-64: the type in bits 59 to 63, the inverted offset in bits 9 to 58. */
function bits_of(offset: number): bigint {
  return ~BigInt(offset) & ((1n << 50n) - 1n);
}

t.test('a leaf is read as the present pte that its bits would be', (t) => {
  for (const offset of [0, 1, 2, 4, 6, 0xfffffff, 0x12345678]) {
    const leaf = make_readable_device_private_entry(offset);
    const word = bits_of(offset) << 9n;
    t.equal(leaf_pte_uffd(leaf), (word & (1n << 10n)) !== 0n);
    t.equal(leaf_pte_soft_dirty(leaf), (word & (1n << 11n)) !== 0n);
    t.equal(leaf_pte_dirty(leaf), (word & ((1n << 6n) | (1n << 58n))) !== 0n);
    t.equal(leaf_pte_pfn(leaf), Number((~word & ((1n << 52n) - (1n << 12n))) >> 12n));
  }
  t.end();
});

t.test('marking one as if it were present turns a bit of its offset', (t) => {
  const leaf = leaf_pte_mkuffd(pte_mksoft_dirty(make_readable_device_private_entry(0xff)));
  t.equal(swp_offset(leaf), 0xfd);
  t.equal(softleaf_is_device_private(leaf), true);
  t.equal(pte_uffd(leaf), false);
  t.equal(pte_soft_dirty(leaf), false);
  t.equal(swp_offset(leaf_pte_mkuffd(make_readable_device_private_entry(0xfd))), 0xfd);
  t.end();
});
