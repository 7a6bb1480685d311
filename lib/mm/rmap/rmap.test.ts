// SPDX-License-Identifier: GPL-2.0-only

import { vm_get_page_prot } from '../../arch/x86/mm/pgprot.ts';
import { pfn_pte, pte_mkwrite, pte_pfn, pte_present, pte_wrprotect } from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import { mm_alloc } from '../../kernel/fork/mm_init.ts';
import { at_once } from '../../kernel/testing.ts';
import { folio_lock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_add_lru, folio_put, lru_add_drain } from '../folio.ts';
import { swp_type } from '../leafops.ts';
import { remove_migration_ptes } from '../migrate/entry.ts';
import { alloc_migration_target, isolate_folio_to_list, migrate_pages } from '../migrate/pages.ts';
import { type mm_struct, vm_area_struct } from '../mm_types.ts';
import { folio_set_large_rmappable } from '../page-flags.ts';
import { folio_get, large, page_to_pfn, PageList } from '../page.ts';
import { folio_alloc } from '../page_alloc.ts';
import { bare_machine, make_pte } from '../testing.ts';
import { folio_anon_vma } from '../util.ts';
import { anon_vma_fork, anon_vma_prepare, unlink_anon_vmas } from './anon_vma.ts';
import {
  folio_add_anon_rmap_ptes,
  folio_add_new_anon_rmap,
  folio_entire_mapcount,
  folio_large_mapcount,
  folio_mapcount,
  folio_maybe_dma_pinned,
  folio_maybe_mapped_shared,
  folio_precise_page_mapcount,
  folio_remove_rmap_pmd,
  folio_remove_rmap_ptes,
  folio_try_dup_anon_rmap_pmd,
  folio_try_dup_anon_rmap_pte,
  folio_try_share_anon_rmap_pte,
  page_address_in_vma,
  vma_anon_address,
} from './rmap.ts';
import { rmap_walk, try_to_migrate } from './walk.ts';
import t from 'tap';

const BASE = 0x200000000;
const EXCLUSIVE = 1;
const [EFAULT, EBUSY] = [14, 16];
// A private mapping that may be read and written: VM_READ, VM_WRITE, VM_MAYREAD, VM_MAYWRITE, VM_MAYEXEC.
const VM_PRIVATE_RW = 0x1 | 0x2 | 0x10 | 0x20 | 0x40;
const [MMF_HAS_PINNED, MM_ANONPAGES, __GFP_ZERO] = [2, 1, 0x100];
/** references that a pin of a small folio takes */
const GUP_PIN_COUNTING_BIAS = 1024;
const [MIGRATE_SYNC, MR_LONGTERM_PIN] = [2, 7];
/** the type that user space sees in a readable migration entry */
const SWP_MIGRATION_READ = 0x19;

function machine(): Machine {
  const m = bare_machine({ mem: 256 * 1024 * 1024 });
  m.zero_page = folio_alloc(m, __GFP_ZERO, 0);
  return m;
}

function anon(m: Machine, pages: number): vm_area_struct {
  const vma = new vm_area_struct(mm_alloc(m) as mm_struct, BASE, BASE + pages * 4096);
  vma.vm_flags = VM_PRIVATE_RW;
  vma.vm_page_prot = vm_get_page_prot(vma.vm_flags);
  vma.vm_pgoff = vma.vm_anon_pgoff = BASE / 4096;
  vma.vm_mm.mm_mt.push(vma);
  return vma;
}

function child_of(m: Machine, parent: vm_area_struct): vm_area_struct {
  const vma = anon(m, (parent.vm_end - parent.vm_start) / 4096);
  vma.anon_vma = parent.anon_vma;
  at_once(anon_vma_fork(m, vma, parent));
  return vma;
}

t.test('a small folio counts its mappings, and fork shares it', async (t) => {
  const m = machine();
  const vma = anon(m, 4);
  at_once(anon_vma_prepare(m, vma));
  const folio = folio_alloc(m, 0, 0);
  folio_add_new_anon_rmap(m, folio, vma, BASE + 4096, EXCLUSIVE);
  t.equal(folio_mapcount(m, folio), 1);
  t.equal(m.page.index[folio], BASE / 4096 + 1);
  t.equal(folio_anon_vma(m, folio), vma.anon_vma);
  t.equal(page_address_in_vma(m, folio, folio, vma), BASE + 4096);
  t.notOk(folio_maybe_mapped_shared(m, folio));

  const child = child_of(m, vma);
  vma.vm_mm.write_protect_seq = 1;
  t.equal(folio_try_dup_anon_rmap_pte(m, folio, folio, child, vma), 0);
  t.equal(folio_mapcount(m, folio), 2);
  t.ok(folio_maybe_mapped_shared(m, folio));
  folio_remove_rmap_ptes(m, folio, folio, 1, child);
  folio_remove_rmap_ptes(m, folio, folio, 1, vma);
  t.equal(folio_mapcount(m, folio), 0);
  t.same(m.log.warnings, []);
});

t.test('a pinned exclusive page can be neither shared with a child nor unmapped for migration', async (t) => {
  const m = machine();
  const vma = anon(m, 1);
  at_once(anon_vma_prepare(m, vma));
  const folio = folio_alloc(m, 0, 0);
  folio_add_new_anon_rmap(m, folio, vma, BASE, EXCLUSIVE);
  m.page._refcount[folio] += GUP_PIN_COUNTING_BIAS;
  t.ok(folio_maybe_dma_pinned(m, folio));
  vma.vm_mm.flags |= MMF_HAS_PINNED;
  vma.vm_mm.write_protect_seq = 1;
  t.equal(folio_try_dup_anon_rmap_pte(m, folio, folio, child_of(m, vma), vma), -EBUSY);
  t.equal(folio_try_share_anon_rmap_pte(m, folio, folio), -EBUSY);
  m.page._refcount[folio] -= GUP_PIN_COUNTING_BIAS;
  t.equal(folio_try_share_anon_rmap_pte(m, folio, folio), 0);
});

t.test(
  'a huge folio knows whether one mm or several map it, and goes on the split queue when partly unmapped',
  async (t) => {
    const m = machine();
    const vma = anon(m, 512);
    at_once(anon_vma_prepare(m, vma));
    const folio = folio_alloc(m, 0, 9);
    folio_set_large_rmappable(m, folio);
    folio_add_new_anon_rmap(m, folio, vma, BASE, EXCLUSIVE);
    t.equal(folio_entire_mapcount(m, folio), 1);
    t.equal(folio_large_mapcount(m, folio), 1);

    const child = child_of(m, vma);
    vma.vm_mm.write_protect_seq = 1;
    t.equal(folio_try_dup_anon_rmap_pmd(m, folio, folio, child, vma), 0);
    t.ok(folio_maybe_mapped_shared(m, folio));
    folio_remove_rmap_pmd(m, folio, folio, vma);
    t.notOk(folio_maybe_mapped_shared(m, folio), 'only the child is left');
    t.notOk(large(m, folio).on_deferred_list);

    at_once(folio_lock(m, folio));
    folio_add_anon_rmap_ptes(m, folio, folio + 8, 4, child, BASE + 8 * 4096, 0);
    t.equal(folio_large_mapcount(m, folio), 5);
    t.equal(folio_precise_page_mapcount(m, folio, folio + 9), 2);
    folio_remove_rmap_pmd(m, folio, folio, child);
    t.equal(folio_precise_page_mapcount(m, folio, folio + 7), 0);
    t.ok(large(m, folio).on_deferred_list, 'four of 512 pages are mapped');
    t.same(m.log.warnings, []);
  },
);

t.test('anon_vmas live as long as vmas need them', async (t) => {
  const m = machine();
  const vma = anon(m, 1);
  at_once(anon_vma_prepare(m, vma));
  const root = vma.anon_vma;
  const child = child_of(m, vma);
  const grandchild = child_of(m, child);
  t.equal(child.anon_vma?.root, root);
  t.equal(child.anon_vma?.parent, root);
  t.equal(grandchild.anon_vma_chain.length, 3);
  t.equal(root?.rb_root.length, 3);
  t.equal(m.mappings.live().length, 3);
  at_once(unlink_anon_vmas(m, child));
  t.equal(m.mappings.live().length, 3, 'the grandchild still uses all');
  const again = child_of(m, grandchild);
  t.equal(m.mappings.live().length, 3, 'the idle one is used again');
  for (const v of [again, grandchild, vma]) at_once(unlink_anon_vmas(m, v));
  t.same(m.mappings.live(), []);
});

t.test('a vma that starts behind a folio maps its rest', async (t) => {
  const m = machine();
  const vma = anon(m, 4);
  t.equal(vma_anon_address(vma, BASE / 4096 - 2, 4), BASE);
  t.equal(vma_anon_address(vma, BASE / 4096 - 4, 4), -EFAULT);
  t.equal(vma_anon_address(vma, BASE / 4096 + 3, 1), BASE + 3 * 4096);
  t.equal(vma_anon_address(vma, BASE / 4096 + 4, 1), -EFAULT);
});

function shared_page(m: Machine): { folio: number; vmas: vm_area_struct[]; pte: (n: number) => number } {
  const vma = anon(m, 4);
  at_once(anon_vma_prepare(m, vma));
  const child = child_of(m, vma);
  const folio = folio_alloc(m, __GFP_ZERO, 0);
  folio_add_new_anon_rmap(m, folio, vma, BASE + 4096, EXCLUSIVE);
  folio_add_lru(m, folio);
  lru_add_drain(m);
  vma.vm_mm.write_protect_seq = 1;
  folio_try_dup_anon_rmap_pte(m, folio, folio, child, vma);
  folio_get(m, folio);
  const vmas = [vma, child];
  for (const v of vmas) {
    const { pt, i } = make_pte(m, v.vm_mm, BASE + 4096);
    pt.entry[i] = pte_wrprotect(pte_mkwrite(pfn_pte(page_to_pfn(m, folio), v.vm_page_prot)));
    v.vm_mm.rss_stat[MM_ANONPAGES] = 1;
  }
  return {
    folio,
    vmas,
    pte: (n) => {
      const { pt, i } = make_pte(m, vmas[n].vm_mm, BASE + 4096);
      return pt.entry[i];
    },
  };
}

t.test('try_to_migrate reaches parent and child, and remove_migration_ptes both again', async (t) => {
  const m = machine();
  const { folio, vmas, pte } = shared_page(m);
  const before = [pte(0), pte(1)];
  folio_get(m, folio);
  at_once(folio_lock(m, folio));
  const seen: vm_area_struct[] = [];
  at_once(
    rmap_walk(m, folio, {
      *rmap_one(_m, _folio, vma) {
        seen.push(vma);
        if (seen.length > 9) yield { what: 'never' };
        return true;
      },
    }),
  );
  t.same(
    seen.map((v) => vmas.indexOf(v)),
    [0, 1],
  );
  at_once(try_to_migrate(m, folio, 0));
  t.equal(folio_mapcount(m, folio), 0);
  for (const n of [0, 1]) t.equal(swp_type(pte(n)), SWP_MIGRATION_READ, 'a readable migration entry');
  at_once(remove_migration_ptes(m, folio, folio, 0));
  t.equal(folio_mapcount(m, folio), 2);
  t.same([pte(0), pte(1)], before);
  folio_unlock(m, folio);
  folio_put(m, folio);
});

t.test('migrate_pages moves a shared page with its contents, unless somebody holds it', async (t) => {
  const m = machine();
  const { folio, pte } = shared_page(m);
  m.ram.bytes(page_to_pfn(m, folio))[5] = 55;
  const list = new PageList();
  folio_get(m, folio);
  t.ok(isolate_folio_to_list(m, folio, list));
  t.equal(
    at_once(migrate_pages(m, list, alloc_migration_target, null, MIGRATE_SYNC, MR_LONGTERM_PIN)),
    1,
    'one reference too many',
  );
  t.equal(list.first, folio);
  folio_put(m, folio);
  t.equal(at_once(migrate_pages(m, list, alloc_migration_target, null, MIGRATE_SYNC, MR_LONGTERM_PIN)), 0);
  t.equal(list.first, 0);
  t.equal(m.page._refcount[folio], 0);
  t.ok(pte_present(pte(0)));
  t.equal(pte_pfn(pte(0)), pte_pfn(pte(1)));
  t.not(pte_pfn(pte(0)), page_to_pfn(m, folio));
  t.equal(m.ram.bytes(pte_pfn(pte(0)))[5], 55);
});
