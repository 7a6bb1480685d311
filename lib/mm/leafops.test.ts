// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import {
  pfn_pte,
  pte_mksoft_dirty,
  pte_mkuffd,
  pte_none,
  pte_present,
  pte_swp_mkexclusive,
} from '../arch/x86/mm/pgtable/pgtable.ts';
import { run_task, small_machine } from '../kernel/testing.ts';
import { folio_lock, folio_unlock } from './filemap/folio_lock.ts';
import { folio_put } from './folio.ts';
import {
  make_device_exclusive_entry,
  make_guard_swp_entry,
  make_migration_entry_dirty,
  make_migration_entry_young,
  make_poisoned_swp_entry,
  make_pte_marker_entry,
  make_readable_device_private_entry,
  make_readable_exclusive_migration_entry,
  make_readable_migration_entry,
  make_writable_device_private_entry,
  make_writable_migration_entry,
  page_of_softleaf,
  pmd_is_device_private_entry,
  pmd_is_migration_entry,
  pmd_is_valid_softleaf,
  pmd_to_softleaf_folio,
  pte_is_marker,
  pte_is_uffd_wp_marker,
  softleaf_from_pmd,
  softleaf_from_pte,
  softleaf_has_pfn,
  softleaf_is_device_exclusive,
  softleaf_is_device_private,
  softleaf_is_device_private_write,
  softleaf_is_guard_marker,
  softleaf_is_marker,
  softleaf_is_migration,
  softleaf_is_migration_dirty,
  softleaf_is_migration_read,
  softleaf_is_migration_read_exclusive,
  softleaf_is_migration_write,
  softleaf_is_migration_young,
  softleaf_is_poison_marker,
  softleaf_is_swap,
  softleaf_is_uffd_wp_marker,
  softleaf_to_folio,
  softleaf_to_marker,
  softleaf_to_page,
  softleaf_to_pfn,
  softleaf_to_pte,
  swp_type,
} from './leafops.ts';
import { folio_pfn } from './page.ts';
import { folio_alloc, GFP_KERNEL } from './page_alloc.ts';
import { bare_machine } from './testing.ts';

const m = bare_machine();
const PFN = 0x7edcba98;
const [UFFD_WP, POISONED, GUARD] = [1, 2, 4];
const PRESENT_RW_USER = 7;

t.test('each kind of leaf is itself, keeps its pfn, and has the swap type that pagemap shows', (t) => {
  const kinds: [(pfn: number) => number, (entry: number) => boolean, number][] = [
    [make_readable_migration_entry, softleaf_is_migration_read, 0x19],
    [make_readable_exclusive_migration_entry, softleaf_is_migration_read_exclusive, 0x1a],
    [make_writable_migration_entry, softleaf_is_migration_write, 0x1b],
    [make_writable_device_private_entry, softleaf_is_device_private_write, 0x1c],
    [
      make_readable_device_private_entry,
      (e) => softleaf_is_device_private(e) && !softleaf_is_device_private_write(e),
      0x1d,
    ],
    [make_device_exclusive_entry, softleaf_is_device_exclusive, 0x1e],
    [make_pte_marker_entry, softleaf_is_marker, 0x1f],
  ];
  for (const [i, [make, , type]] of kinds.entries()) {
    const entry = make(PFN);
    t.same(
      kinds.map(([, is]) => is(entry)),
      kinds.map((_, k) => k === i),
      `type 0x${type.toString(16)} is one kind only`,
    );
    t.equal(swp_type(entry), type);
    t.equal(softleaf_to_pfn(m, entry), PFN);
    t.equal(softleaf_is_migration(entry), type >= 0x19 && type <= 0x1b);
    t.equal(softleaf_is_device_private(entry), type === 0x1c || type === 0x1d);
    t.equal(softleaf_has_pfn(entry), type !== 0x1f);
    t.notOk(softleaf_is_swap(entry));
    t.notOk(pte_present(softleaf_to_pte(entry)));
    t.notOk(pte_none(softleaf_to_pte(entry)));
    t.ok(Number.isSafeInteger(entry));
  }
  t.end();
});

t.test('a present and an empty pte hold no leaf', (t) => {
  t.equal(softleaf_from_pte(pfn_pte(PFN, PRESENT_RW_USER)), 0);
  t.equal(softleaf_from_pte(0), 0);
  t.equal(softleaf_from_pmd(pfn_pte(PFN, PRESENT_RW_USER)), 0);
  t.notOk(pte_is_marker(0));
  t.notOk(pmd_is_valid_softleaf(0));
  t.end();
});

t.test('a leaf taken from a pte loses soft-dirty, uffd and exclusive bits but keeps young and dirty', (t) => {
  const plain = make_writable_migration_entry(PFN);
  t.equal(softleaf_from_pte(pte_mksoft_dirty(pte_mkuffd(pte_swp_mkexclusive(softleaf_to_pte(plain))))), plain);
  t.notOk(softleaf_is_migration_young(m, plain));
  t.notOk(softleaf_is_migration_dirty(m, plain));
  const young = make_migration_entry_young(plain);
  t.ok(softleaf_is_migration_young(m, young));
  t.notOk(softleaf_is_migration_dirty(m, young));
  const both = make_migration_entry_dirty(young);
  t.ok(softleaf_is_migration_dirty(m, both));
  t.equal(softleaf_from_pte(pte_mkuffd(softleaf_to_pte(both))), both);
  t.ok(softleaf_is_migration_write(both));
  t.equal(softleaf_to_pfn(m, both), PFN);
  t.end();
});

t.test('markers carry their bits together', (t) => {
  t.equal(softleaf_to_marker(m, make_guard_swp_entry()), GUARD);
  t.equal(softleaf_to_marker(m, make_poisoned_swp_entry()), POISONED);
  const both = make_pte_marker_entry(UFFD_WP | GUARD);
  t.ok(softleaf_is_guard_marker(both));
  t.ok(softleaf_is_uffd_wp_marker(both));
  t.notOk(softleaf_is_poison_marker(both));
  t.ok(pte_is_uffd_wp_marker(softleaf_to_pte(both)));
  t.notOk(pte_is_uffd_wp_marker(softleaf_to_pte(make_guard_swp_entry())));
  t.notOk(softleaf_is_guard_marker(make_readable_migration_entry(GUARD)), 'the offset of another leaf is no marker');
  t.end();
});

t.test('a pmd holds migration and device private leaves only', (t) => {
  const migration = make_readable_exclusive_migration_entry(0x200);
  const device = make_readable_device_private_entry(0x200);
  t.ok(pmd_is_migration_entry(migration));
  t.notOk(pmd_is_migration_entry(device));
  t.ok(pmd_is_device_private_entry(device));
  t.ok(pmd_is_valid_softleaf(migration));
  t.ok(pmd_is_valid_softleaf(device));
  t.notOk(pmd_is_valid_softleaf(make_device_exclusive_entry(0x200)));
  t.notOk(pmd_is_valid_softleaf(make_guard_swp_entry()));
  t.end();
});

t.test('a migration entry of an unlocked folio is caught at its first use', (t) => {
  const m = small_machine();
  run_task(m, function* () {
    const folio = folio_alloc(m, GFP_KERNEL, 0);
    const entry = make_writable_migration_entry(folio_pfn(m, folio));
    yield* folio_lock(m, folio);
    t.equal(softleaf_to_folio(m, entry), folio);
    t.same(m.log.warnings, [], 'its migration holds the lock');
    folio_unlock(m, folio);
    softleaf_to_folio(m, make_writable_device_private_entry(folio_pfn(m, folio)));
    t.same(m.log.warnings, [], 'other entries need no lock');
    t.equal(page_of_softleaf(m, entry), folio);
    t.same(m.log.warnings, [], 'to look at it is no use');
    t.equal(softleaf_to_page(m, entry), folio);
    softleaf_to_page(m, entry);
    t.same(
      m.log.warnings.map((w) => w.fn),
      ['softleaf_migration_sync'],
      'once',
    );
    folio_put(m, folio);
  });
  t.end();
});

t.test('an accessor of another kind of entry warns and goes on', (t) => {
  const m = small_machine();
  const warned = (use: () => void): string[] => {
    const before = m.log.warnings.length;
    use();
    return m.log.warnings.slice(before).map((w) => w.fn);
  };
  const marker = make_guard_swp_entry();
  t.same(
    warned(() => t.equal(softleaf_to_pfn(m, marker), GUARD)),
    ['softleaf_to_pfn'],
  );
  t.same(
    warned(() => softleaf_to_marker(m, make_readable_device_private_entry(1))),
    ['softleaf_to_marker'],
  );
  t.same(
    warned(() => softleaf_is_migration_young(m, marker)),
    ['softleaf_is_migration_young'],
  );
  t.same(
    warned(() => softleaf_is_migration_dirty(m, marker)),
    ['softleaf_is_migration_dirty'],
  );
  t.same(
    warned(() => t.equal(pmd_to_softleaf_folio(m, 0), 0)),
    ['pmd_to_softleaf_folio'],
  );
  t.end();
});
