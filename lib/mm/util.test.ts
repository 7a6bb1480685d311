// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { boot, type Machine } from '../boot.ts';
import { stable_page_flags } from '../fs/proc/page.ts';
import type { PatchId } from '../patches/index.ts';
import { memremap_device_private_pagemap } from './device_private.ts';
import { dev_pagemap } from './memremap.ts';
import { FOLIO_MAPPING_ANON, page_to_pfn, pfn_to_page } from './page.ts';
import { alloc_page, prep_compound_page } from './page_alloc.ts';
import { noting_ops } from './testing.ts';
import { snapshot_page } from './util.ts';

const SERIES = ['device-private-offsets'] as const;
// include/uapi/linux/kernel-page-flags.h
const [ANON, HEAD, TAIL, NOPAGE, ZERO_PAGE, RESERVED] = [2 ** 12, 2 ** 15, 2 ** 16, 2 ** 20, 2 ** 24, 2 ** 32];
const [FAITHFUL, DEVICE_PRIVATE] = [1, 8];

/** A machine with a device that has a page of the zero page's number. */
function machine(patches: readonly PatchId[]): { m: Machine; page: number } {
  const m = boot({ mem: 128 * 1024 ** 2, patches });
  const pgmap = new dev_pagemap();
  pgmap.type = 1;
  pgmap.owner = {};
  pgmap.nr_pages = 32768;
  pgmap.ops = noting_ops([]);
  t.equal(memremap_device_private_pagemap(m, pgmap, 0), 0);
  return { m, page: pgmap.pages + page_to_pfn(m, m.zero_page) };
}

t.test('pages of RAM', (t) => {
  const m = boot({ mem: 128 * 1024 ** 2 });
  t.equal(stable_page_flags(m, 0), NOPAGE);
  t.equal(stable_page_flags(m, m.zero_page), ZERO_PAGE + RESERVED);
  const page = alloc_page(m, 0);
  t.same(snapshot_page(m, page), { pfn: page_to_pfn(m, page), idx: 0, flags: FAITHFUL });
  t.equal(stable_page_flags(m, page), 0);
  const head = pfn_to_page(m, 0x4000);
  prep_compound_page(m, head, 2);
  m.page.mapping[head] = FOLIO_MAPPING_ANON;
  t.equal(stable_page_flags(m, head), ANON + HEAD);
  t.same(snapshot_page(m, head + 3), { pfn: 0x4003, idx: 3, flags: FAITHFUL });
  t.equal(stable_page_flags(m, head + 3), ANON + TAIL);
  t.end();
});

t.test(
  'a private page with the number of the page of zeroes is not that, unless the snapshot forgets that it is an offset',
  (t) => {
    const { m, page } = machine(SERIES);
    t.same(snapshot_page(m, page), { pfn: page_to_pfn(m, m.zero_page), idx: 0, flags: FAITHFUL + DEVICE_PRIVATE });
    t.equal(stable_page_flags(m, page), RESERVED);
    t.equal(stable_page_flags(m, m.zero_page), ZERO_PAGE + RESERVED);
    const forgetful = machine([...SERIES, 'offsets-no-snapshot-flag']);
    t.equal(stable_page_flags(forgetful.m, forgetful.page), ZERO_PAGE + RESERVED);
    t.end();
  },
);
