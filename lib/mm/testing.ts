// SPDX-License-Identifier: GPL-2.0-only

import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import {
  p4d_populate,
  pmd_alloc_one,
  pmd_populate,
  pte_alloc_one,
  pud_alloc_one,
  pud_populate,
} from '../arch/x86/mm/pgtable/pgalloc.ts';
import { pmd_index, type ptdesc, pte_index, pte_pfn, pud_index } from '../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32 } from '../arch/x86/mm/uaccess.ts';
import { Machine, type MachineConfig } from '../machine.ts';
import { type Leaf, vma_at, walk_address } from '../inspect.ts';
import type { Gen } from '../kernel/gen.ts';
import { type Asserts, at_once, run_clean, small_machine } from '../kernel/testing.ts';
import { folio_lock, folio_unlock } from './filemap/folio_lock.ts';
import { folio_put } from './folio.ts';
import { TRANSPARENT_HUGEPAGE_USE_ZERO_PAGE_FLAG } from './huge_memory/sysfs.ts';
import { pte_alloc } from './memory/pgalloc.ts';
import { dev_pagemap, type dev_pagemap_ops } from './memremap.ts';
import { remove_migration_ptes } from './migrate/entry.ts';
import { type mm_struct, vm_area_struct } from './mm_types.ts';
import { folio_get } from './page.ts';
import { try_to_migrate } from './rmap/walk.ts';
import { mm_alloc_pmd } from './userfaultfd/mfill.ts';

const [PAGE, RW, PRIVATE, FIXED_ANON] = [4096, 3, 2, 0x30];

/** Returns a machine that was not booted and has only memory, 64 MiB if nothing else is said. NON-KERNEL. */
export function bare_machine(config: MachineConfig = {}): Machine {
  const m = new Machine({ mem: 64 * 1024 * 1024, ...config });
  for (const { start, end } of m.iomem.ram_spans()) {
    m.zone.add_span(start / PAGE, end / PAGE);
    m.ram.set_linear(start / PAGE, (end - start) / PAGE, true);
  }
  return m;
}

/** Maps fresh memory at an address, private and writable by default. NON-KERNEL. */
export function map_anon(m: Machine, addr: number, pages: number, prot = RW, flags = PRIVATE): Gen<number> {
  return sys_mmap(m, addr, pages * PAGE, prot, flags | FIXED_ANON, -1, 0);
}

/** Returns the vma at an address, which must be mapped. NON-KERNEL. */
export function vma_of(mm: mm_struct, addr: number): vm_area_struct {
  return vma_at(mm, addr) as vm_area_struct;
}

/** Returns the leaf entry of an address whose tables exist. NON-KERNEL. */
export function leaf_at(mm: mm_struct, addr: number): Leaf & { table: ptdesc } {
  return walk_address(mm, addr) as Leaf & { table: ptdesc };
}

/** Returns the page that the leaf entry of an address maps. NON-KERNEL. */
export function page_at(m: Machine, mm: mm_struct, addr: number): number {
  return m.page.pfn_to_page(pte_pfn(walk_address(mm, addr).entry));
}

/** Returns the pte of an address, whose table must exist. NON-KERNEL. */
export function pte_at(mm: mm_struct, addr: number): number {
  const leaf = leaf_at(mm, addr);
  if (leaf.level !== 'pte') throw new Error(`no pte table at 0x${addr.toString(16)}`);
  return leaf.entry;
}

/** Returns the pte table and index of an address; allocates missing tables. NON-KERNEL. */
export function make_pte(m: Machine, mm: mm_struct, addr: number): { pt: ptdesc; i: number } {
  const pmdt = at_once(mm_alloc_pmd(m, mm, addr)) as ptdesc;
  at_once(pte_alloc(m, mm, pmdt, pmd_index(addr)));
  return { pt: pmdt.child?.[pmd_index(addr)] as ptdesc, i: pte_index(addr) };
}

/** Gives the current task the mm, with a vma of 2 MiB at an address and an empty pte table for it. NON-KERNEL. */
export function make_table(m: Machine, mm: mm_struct, addr: number): { vma: vm_area_struct; pt: ptdesc } {
  m.current.mm = mm;
  const pud = pud_alloc_one(m, mm, addr) as ptdesc;
  const pmd = pmd_alloc_one(m, mm, addr) as ptdesc;
  const pt = pte_alloc_one(m, mm) as ptdesc;
  p4d_populate(m, mm, mm.pgd, 0, pud);
  pud_populate(m, mm, pud, pud_index(addr), pmd);
  pmd_populate(m, mm, pmd, pmd_index(addr), pt);
  return { vma: new vm_area_struct(mm, addr, addr + 512 * PAGE), pt };
}

/** Returns a pagemap of 128 MiB of device-private memory below 1 TiB, not yet added to the machine. NON-KERNEL. */
export function private_pagemap(owner: unknown, freed: number[] = []): dev_pagemap {
  const pgmap = new dev_pagemap();
  pgmap.type = 1;
  pgmap.owner = owner;
  pgmap.nr_range = 1;
  pgmap.range.start = 2 ** 40 - 128 * 1024 * 1024;
  pgmap.range.end = 2 ** 40 - 1;
  pgmap.ops = noting_ops(freed);
  return pgmap;
}

/** Unlocks a folio and drops a reference. NON-KERNEL. */
export function release(m: Machine, folio: number): void {
  folio_unlock(m, folio);
  folio_put(m, folio);
}

/** Returns the first word of each of n pages. NON-KERNEL. */
export function* load_words(m: Machine, at: number, n: number): Gen<number[]> {
  const found: number[] = [];
  for (let i = 0; i < n; i++) found.push(yield* user_load32(m, at + i * PAGE));
  return found;
}

/** Runs a process with THP always, the huge zero page, and a mapping of `size` bytes at `addr`. NON-KERNEL. */
export function run_thp(
  t: Asserts,
  addr: number,
  size: number,
  body: (m: Machine, mm: mm_struct) => Gen<void>,
): Machine {
  const m = small_machine({ thp: 'always' });
  m.thp.set(TRANSPARENT_HUGEPAGE_USE_ZERO_PAGE_FLAG, true);
  return run_clean(t, m, function* (_m, mm) {
    yield* map_anon(m, addr, size / PAGE);
    yield* body(m, mm);
  });
}

/** Maps a locked new folio in place of another one, as a migration does, and drops the old one. NON-KERNEL. */
export function* replace_folio(m: Machine, src: number, dst: number): Gen<void> {
  folio_get(m, src);
  yield* folio_lock(m, src);
  yield* try_to_migrate(m, src, 0);
  m.page.mapping[dst] = m.page.mapping[src];
  m.page.index[dst] = m.page.index[src];
  yield* remove_migration_ptes(m, src, dst, 0);
  m.page.mapping[src] = 0;
  release(m, src);
  release(m, dst);
}

/** Returns driver ops that record freed folios and expect no CPU fault. NON-KERNEL. */
export function noting_ops(freed: number[]): dev_pagemap_ops {
  return {
    folio_free: (_m, folio) => void freed.push(folio),
    *migrate_to_ram() {
      throw new Error('unexpected fault');
    },
  };
}
