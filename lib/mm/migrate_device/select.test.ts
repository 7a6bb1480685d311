// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import type { Machine } from '../../machine.ts';
import { at_once, small_machine } from '../../kernel/testing.ts';
import type { PatchId } from '../../patches/index.ts';
import { memremap_pages } from '../memremap.ts';
import { pfn_to_page } from '../page.ts';
import { folio_alloc } from '../page_alloc.ts';
import { private_pagemap } from '../testing.ts';
import { migrate_vma } from './migrate_vma.ts';
import { selects_huge_page, selects_private_page, selects_zero_page } from './select.ts';

const [SYSTEM, PRIVATE, COHERENT, COMPOUND] = [1, 2, 4, 8];
/** enum mmu_notifier_event */
const [CLEAR, MIGRATE] = [1, 6];

/** A machine with a page of device memory of type 1 (private) or 2 (coherent), owned by 'me'. */
function machine(type: 1 | 2, ...patches: PatchId[]): { m: Machine; page: number } {
  const m = small_machine({ patches });
  const pgmap = private_pagemap('me');
  pgmap.type = type;
  t.equal(at_once(memremap_pages(m, pgmap, 0)), pgmap.range.start);
  return { m, page: pfn_to_page(m, pgmap.range.start / 4096) };
}

function migration(flags: number, owner: unknown, src_owner: unknown = null): migrate_vma {
  return Object.assign(new migrate_vma(), { flags, pgmap_owner: owner, src_owner });
}

t.test("flags and pgmap_owner are the driver's, and the device can tell its own migration", (t) => {
  const { m, page } = machine(1);
  const migrate = migration(PRIVATE | COMPOUND, 'me');
  t.equal(m.seam.migrate_selection.begin(migrate), MIGRATE);
  t.same([migrate.flags, migrate.pgmap_owner], [PRIVATE | COMPOUND, 'me']);
  t.ok(selects_private_page(m, migrate, page));
  t.notOk(selects_private_page(m, migration(PRIVATE, 'other'), page));
  t.notOk(selects_private_page(m, migration(SYSTEM, 'me'), page));
  t.same(
    [selects_zero_page(m, migration(SYSTEM, null)), selects_zero_page(m, migration(PRIVATE, 'me'))],
    [true, false],
  );
  t.end();
});

t.test('with src_owner, NULL selects system pages and an owner its private ones', (t) => {
  const { m, page } = machine(1, 'src-owner');
  const [to_device, to_system] = [migration(COMPOUND, 'me', null), migration(COMPOUND, null, 'me')];
  for (const migrate of [to_device, to_system]) t.equal(m.seam.migrate_selection.begin(migrate), CLEAR);
  t.same([to_device.flags, to_system.flags], [SYSTEM | COMPOUND, PRIVATE | COMPOUND]);
  t.same([selects_private_page(m, to_device, page), selects_private_page(m, to_system, page)], [false, true]);
  const other = migration(0, null, 'other');
  m.seam.migrate_selection.begin(other);
  t.notOk(selects_private_page(m, other, page));
  t.end();
});

t.test('before 800bb1c8dc80 everything that is system or private memory is selected', (t) => {
  const { m, page } = machine(1, 'no-800bb1c8dc80');
  const migrate = migration(0, null, 'other');
  t.equal(m.seam.migrate_selection.begin(migrate), CLEAR);
  t.equal(migrate.flags, SYSTEM | PRIVATE);
  t.ok(selects_private_page(m, migrate, page));
  t.end();
});

t.test("a coherent huge page goes with system memory, or with its owner's coherent memory once that is mended", (t) => {
  const selected = (m: Machine, folio: number): boolean[] =>
    [migration(SYSTEM, null), migration(COHERENT, 'me'), migration(COHERENT, 'other')].map((migrate) =>
      selects_huge_page(m, migrate, folio),
    );
  const linux = machine(2);
  t.same(selected(linux.m, linux.page), [true, false, false]);
  const fixed = machine(2, 'fix-collect-coherent-pmd');
  t.same(selected(fixed.m, fixed.page), [false, true, false]);
  t.same(selected(fixed.m, folio_alloc(fixed.m, 0, 0)), [true, false, false], 'system memory');
  t.end();
});

t.test('in January 2022 the page of zeroes was selected whatever the flags', (t) => {
  t.ok(selects_zero_page(machine(1, 'coherent-v3').m, migration(PRIVATE, 'me')));
  t.end();
});
