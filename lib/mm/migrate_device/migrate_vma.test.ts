// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import type { PatchId } from '../../patches/index.ts';
import { page_to_pfn } from '../page.ts';
import { folio_alloc } from '../page_alloc.ts';
import { bare_machine } from '../testing.ts';
import { fault_folio_of, migrate_pfn, migrate_pfn_to_page, migrate_vma } from './migrate_vma.ts';
import t from 'tap';

const [VALID, MIGRATE, WRITE, COMPOUND] = [1, 2, 8, 16];

function machine(patches: PatchId[] = []): Machine {
  return bare_machine({ patches });
}

t.test('an entry is the pfn above six bits of flags, of which VALID is set', (t) => {
  t.equal(migrate_pfn(0x12345), 0x12345 * 64 + VALID);
  t.equal(migrate_pfn(0), VALID);
  t.equal(migrate_pfn(0x7fffffff), 0x1fffffffc1, 'beyond 32 bits');
  t.end();
});

t.test('the page of an entry is found under all flags, and only of a valid entry', (t) => {
  const m = machine();
  const page = folio_alloc(m, 0, 0);
  const entry = migrate_pfn(page_to_pfn(m, page));
  t.equal(migrate_pfn_to_page(m, entry), page);
  t.equal(migrate_pfn_to_page(m, entry + MIGRATE + WRITE + COMPOUND), page);
  t.equal(migrate_pfn_to_page(m, entry - VALID + MIGRATE), 0);
  t.equal(migrate_pfn_to_page(m, 0), 0);
  t.equal(migrate_pfn_to_page(m, MIGRATE), 0, 'an empty place that may be filled');
  t.end();
});

t.test('the faulting page stands for its whole folio, which is locked since 1afaeb8293c9', (t) => {
  const m = machine();
  const folio = folio_alloc(m, 0, 2);
  t.equal(fault_folio_of(m, folio + 3), folio);
  t.equal(fault_folio_of(m, 0), 0);
  const old = machine(['no-1afaeb8293c9']);
  t.equal(fault_folio_of(old, folio_alloc(old, 0, 2)), 0);
  const migrate = new migrate_vma();
  t.same([migrate.src, migrate.dst, migrate.cpages, migrate.npages, migrate.fault_page], [null, null, 0, 0, 0]);
  t.end();
});
