// SPDX-License-Identifier: GPL-2.0-only
// Every kind of contradiction, brought about by hand in a machine that is clean otherwise.

import { sys_mmap } from './arch/x86/kernel/sys_x86_64.ts';
import { type ptdesc, pte_pfn } from './arch/x86/mm/pgtable/pgtable.ts';
import { user_store32 } from './arch/x86/mm/uaccess.ts';
import { audit } from './audit.ts';
import { boot } from './boot.ts';
import type { Machine } from './machine.ts';
import type { address_space } from './fs/fs.ts';
import { walk_address } from './inspect.ts';
import { start_process } from './kernel/exec.ts';
import { mutex } from './kernel/locking/mutex.ts';
import { lru_add_drain_all } from './mm/folio.ts';
import { make_device_exclusive_entry, make_readable_exclusive_migration_entry, softleaf_to_pte } from './mm/leafops.ts';
import type { anon_vma, mm_struct, vm_area_struct } from './mm/mm_types.ts';
import { large, page_to_pfn, pfn_to_page } from './mm/page.ts';
import { kvcalloc, kvfree } from './mm/slub.ts';
import t, { type Test } from 'tap';

const MIB = 1024 * 1024;
const [RW, SHARED_FIXED_ANON, PRIVATE_FIXED_ANON, HUGETLB] = [3, 0x31, 0x32, 0x40000];
// Different places of a direct-mapped TLB of 4096 entries.
const [SMALL, HUGE, FILE, POOL] = [0x200003000, 0x210200000, 0x220005000, 0x230400000];
const [PTE_RW, PAGE_LOCKED, PAGE_LRU, PAGE_ANON_EXCLUSIVE] = [1 << 1, 1 << 0, 1 << 3, 1 << 7];
const [FILE_PAGES, ANON_PAGES, SWAP_ENTRIES, SHMEM_PAGES] = [0, 1, 2, 3];

/** A page, the entry that maps it and the vma around it. */
interface Place {
  page: number;
  pfn: number;
  hex: string;
  table: ptdesc;
  index: number;
  vma: vm_area_struct;
}

function place(m: Machine, addr: number): Place {
  const mm = m.current.mm as mm_struct;
  const leaf = walk_address(mm, addr);
  const pfn = pte_pfn(leaf.entry);
  const vma = mm.mm_mt.find((v) => v.vm_start <= addr && addr < v.vm_end) as vm_area_struct;
  return {
    page: pfn_to_page(m, pfn),
    pfn,
    hex: `pfn 0x${pfn.toString(16)}`,
    table: leaf.table as ptdesc,
    index: leaf.index,
    vma,
  };
}

/** Sets one field; answers how to set it back. */
function set<T, K extends keyof T>(object: T, key: K, value: T[K]): () => void {
  const old = object[key];
  object[key] = value;
  return () => {
    object[key] = old;
  };
}

/** Runs the body in a process with a page of each kind of memory. */
function with_memory(t: Test, body: (m: Machine, small: Place, huge: Place, file: Place, pool: Place) => void): void {
  const m = boot({ mem: 64 * MIB, nr_hugepages: 1 });
  const task = start_process(m, 'test', function* () {
    yield* sys_mmap(m, SMALL, 4096, RW, PRIVATE_FIXED_ANON, -1, 0);
    yield* sys_mmap(m, HUGE, 2 * MIB, RW, PRIVATE_FIXED_ANON, -1, 0);
    yield* sys_mmap(m, FILE, 4096, RW, SHARED_FIXED_ANON, -1, 0);
    yield* sys_mmap(m, POOL, 2 * MIB, RW, PRIVATE_FIXED_ANON | HUGETLB, -1, 0);
    for (const addr of [SMALL, HUGE, FILE, POOL]) yield* user_store32(m, addr, 1);
    yield* lru_add_drain_all(m);
    t.same(audit(m), []);
    body(m, place(m, SMALL), place(m, HUGE), place(m, FILE), place(m, POOL));
    t.same(audit(m), [], 'clean again');
  });
  m.sched.run(() => task.exit_state !== 'alive');
  t.same(audit(m), []);
}

type Break = [what: string, undo: () => void, findings: string[]];

/** Each break is made, audited and mended before the next. */
function check(t: Test, m: Machine, breaks: (() => Break)[]): void {
  for (const make of breaks) {
    const [what, undo, findings] = make();
    t.same(audit(m).sort(), findings.sort(), what);
    undo();
  }
}

t.test('references, mapcounts and flags of a page', (t) => {
  with_memory(t, (m, { page, hex }, huge) => {
    const p = m.page;
    const flags = p.flags[page];
    const head = large(m, huge.page);
    check(t, m, [
      () => [
        'one too many',
        set(p._refcount, page, 2),
        [`refcount: page ${hex} (1 pages) has 2 references, 1 are explained`],
      ],
      () => ['none', set(p._refcount, page, 0), [`refcount: ${hex} is free and still mapped or held`]],
      () => [
        'huge',
        set(p._refcount, huge.page, 3),
        [`refcount: page ${huge.hex} (512 pages) has 3 references, 1 are explained`],
      ],
      () => [
        'mapcount',
        set(p._mapcount, page, 1),
        [`mapcount: ${hex} says 2, the page tables 1`, `exclusive: ${hex} is mapped 2 times and exclusive`],
      ],
      () => [
        'tail',
        set(p._mapcount, huge.page + 7, 0),
        [`mapcount: pfn 0x${(huge.pfn + 7).toString(16)} says 1, the page tables 0`],
      ],
      () => ['head', set(p._mapcount, huge.page, 0), [`mapcount: ${huge.hex} says 1, the page tables 0`]],
      () => ['entire', set(head, '_entire_mapcount', 1), [`mapcount: folio ${huge.hex} entire 2, the page tables 1`]],
      () => ['large', set(head, '_large_mapcount', -1), [`mapcount: folio ${huge.hex} large 0, the page tables 1`]],
      () => [
        'pages',
        set(head, '_nr_pages_mapped', head._nr_pages_mapped + 4),
        [`mapcount: folio ${huge.hex} nr_pages_mapped 4, the page tables 0`],
      ],
      () => [
        'no state',
        (p.large.delete(huge.page), () => p.large.set(huge.page, head)),
        [`folio ${huge.hex}: no large state`],
      ],
      () => ['locked', set(p.flags, page, flags | PAGE_LOCKED), [`lock: folio ${hex} is locked`]],
      () => [
        'shared',
        set(p.flags, page, flags & ~PAGE_ANON_EXCLUSIVE),
        [`mm 1: writable at 0x200003000 but ${hex} is not exclusive`],
      ],
    ]);
  });
  t.end();
});

t.test('entries of page tables, and what a CPU remembers of them', (t) => {
  with_memory(t, (m, { pfn, hex, table, index }, huge) => {
    const at = 'at 0x200003000';
    const entry = table.entry[index];
    const cpu = m.cpus[0];
    const slot = (SMALL / 4096) % 4096;
    const huge_slot = (HUGE / 4096) % 4096;
    const where = 'TLB of CPU 0: 0x200003000 of mm 1';
    const unmapped = [
      `mapcount: ${hex} says 1, the page tables 0`,
      `refcount: page ${hex} (1 pages) has 1 references, 0 are explained`,
      `${where} maps pfn ${pfn}, the page tables do not`,
    ];
    check(t, m, [
      () => ['stale', set(cpu.pfn, slot, pfn + 1), [`${where} maps pfn ${pfn + 1}, the page tables do not`]],
      () => [
        'stale within a huge page',
        set(cpu.pfn, huge_slot, huge.pfn + 1),
        [`TLB of CPU 0: 0x210200000 of mm 1 maps pfn ${huge.pfn + 1}, the page tables do not`],
      ],
      () => [
        'write-protected without a flush',
        set(table.entry, index, entry - PTE_RW),
        [`${where} may be written, by the page tables not`],
      ],
      () => ['zapped', set(table.entry, index, 0), [...unmapped, 'mm 1: rss anon says 513, the page tables 512']],
      () => [
        'migration',
        set(table.entry, index, softleaf_to_pte(make_readable_exclusive_migration_entry(pfn))),
        [...unmapped, `mm 1: a migration entry ${at} that nobody works on`],
      ],
      () => {
        const undo = [
          set(table.entry, index, softleaf_to_pte(make_device_exclusive_entry(pfn))),
          set(m.page.flags, pfn_to_page(m, pfn), m.page.flags[pfn_to_page(m, pfn)] & ~PAGE_ANON_EXCLUSIVE),
        ];
        return [
          'exclusive',
          () => undo.forEach((u) => u()),
          [`mm 1: device exclusive ${at} but ${hex} is not`, unmapped[2]],
        ];
      },
      () => [
        'beside the vma',
        set(table.entry, index + 1, entry),
        ['mm 1: an entry at 0x200004000 outside of any vma'],
      ],
    ]);
  });
  t.end();
});

t.test('the counters of an address space, its tables and its vmas', (t) => {
  with_memory(t, (m, { vma, table, hex }, _huge, file) => {
    const mm = m.current.mm as mm_struct;
    const [av] = vma.anon_vma_chain;
    const tree = (vma.anon_vma as anon_vma).rb_root;
    check(t, m, [
      () => ['file', set(mm.rss_stat, FILE_PAGES, 5), ['mm 1: rss file says 5, the page tables 0']],
      () => ['anon', set(mm.rss_stat, ANON_PAGES, 0), ['mm 1: rss anon says 0, the page tables 513']],
      () => ['swap', set(mm.rss_stat, SWAP_ENTRIES, 1), ['mm 1: rss swap says 1, the page tables 0']],
      () => ['shmem', set(mm.rss_stat, SHMEM_PAGES, 2), ['mm 1: rss shmem says 2, the page tables 1']],
      () => ['hugetlb', set(mm, 'hugetlb_usage', 0), ['mm 1: hugetlb_usage says 0, the page tables 512']],
      () => [
        'tables',
        set(mm, 'pgtables_bytes', mm.pgtables_bytes - 4096),
        [`mm 1: pgtables_bytes ${mm.pgtables_bytes}, the tables take ${mm.pgtables_bytes + 4096}`],
      ],
      () => [
        'a table that is none',
        set(m.page.page_type, table.page, 0),
        [`mm 1: a page table in pfn 0x${page_to_pfn(m, table.page).toString(16)}, which is not typed as one`],
      ],
      () => [
        'a table lock',
        set(table.ptl, 'owner', m.current),
        [`lock: ${table.ptl.what} held by task ${m.current.pid}`],
      ],
      () => [
        'a vma of no length',
        set(file.vma, 'vm_start', file.vma.vm_end),
        [
          'mm 1: vma 0x220006000 overlaps or is empty',
          'mm 1: an entry at 0x220005000 outside of any vma',
          'mm 1: rss shmem says 1, the page tables 0',
          `mapcount: ${file.hex} says 1, the page tables 0`,
          `refcount: page ${file.hex} (1 pages) has 2 references, 1 are explained`,
        ],
      ],
      () => ['a vma of somebody else', set(vma, 'vm_mm', { ...mm }), ['mm 1: vma 0x200003000 belongs to another mm']],
      () => [
        'a vma that its anon_vma does not know',
        ((i) => (tree.splice(i, 1), () => tree.splice(i, 0, av)))(tree.indexOf(av)),
        [
          'mm 1: vma 0x200003000 is missing in an anon_vma',
          `rmap: ${hex} at 0x200003000 is not found through its anon_vma`,
        ],
      ],
    ]);
  });
  t.end();
});

t.test('the way back from a page to its mapping', (t) => {
  with_memory(t, (m, small, _huge, file) => {
    const at = 'at 0x200003000';
    const i_mmap = (file.vma.vm_file?.f_mapping as address_space).i_mmap;
    check(t, m, [
      () => [
        'index',
        set(m.page.index, small.page, 3),
        [`rmap: ${small.hex} ${at} has index 3, the vma says ${SMALL / 4096}`],
      ],
      () => ['dead', set(m.page.mapping, small.page, (900 << 2) | 1), [`rmap: ${small.hex} ${at} has a dead anon_vma`]],
      () => [
        'file index',
        set(m.page.index, file.page, 9),
        [`rmap: ${file.hex} at 0x220005000 has file index 9, the vma says 0`],
      ],
      () => [
        'unknown to the file',
        (i_mmap.splice(i_mmap.indexOf(file.vma), 1), () => i_mmap.push(file.vma)),
        [`rmap: ${file.hex} at 0x220005000: its file does not know the vma`],
      ],
      () => [
        'no such file',
        set(m.page.mapping, file.page, 900 << 2),
        [
          `rmap: ${file.hex} names mapping 900, which does not exist`,
          'mm 1: rss file says 0, the page tables 1',
          'mm 1: rss shmem says 1, the page tables 0',
        ],
      ],
    ]);
  });
  t.end();
});

t.test('free lists, lru lists, arrays and locks that nobody gave back', (t) => {
  with_memory(t, (m, small) => {
    const name = (page: number): string => `pfn 0x${(small.pfn - small.page + page).toString(16)}`;
    const order = m.zone.free_area.findIndex((a) => a.count > 0);
    const area = m.zone.free_area[order];
    const n = area.count;
    const lru = m.lru.lists.findIndex((l) => l.first !== 0);
    const size = m.lru.lru_size[lru];
    const on_list = m.lru.lists[lru].first;
    const free = m.zone.nr_free;
    const held = new mutex('a lock of the test');
    check(t, m, [
      () => ['nr_free', set(m.zone, 'nr_free', free - 1), [`free lists: hold ${free} pages, nr_free says ${free - 1}`]],
      () => ['count', set(area, 'count', n + 1), [`free list ${order}: holds ${n}, counts ${n + 1}`]],
      () => [
        'type',
        set(m.page.page_type, area.first, 0),
        [`free list ${order}: ${name(area.first)} is not a free block of it`],
      ],
      () => [
        'lru size',
        set(m.lru.lru_size, lru, size + 1),
        [`lru ${lru}: holds ${size} pages, lru_size says ${size + 1}`],
      ],
      () => [
        'lru flag',
        set(m.page.flags, on_list, m.page.flags[on_list] & ~PAGE_LRU),
        [`lru ${lru}: ${name(on_list)} is on it without PG_lru`],
      ],
      () => {
        const array = kvcalloc(m, 512, 0xcc0);
        return ['slab', () => kvfree(m, array), ['slab: 1 arrays of kvcalloc() were not freed']];
      },
      () => [
        'lock',
        (m.current.held_locks.push(held), () => m.current.held_locks.pop()),
        [`lock: task ${m.current.pid} holds a lock of the test`],
      ],
    ]);
  });
  t.end();
});
