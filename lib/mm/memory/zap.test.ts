// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_memset, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import type { address_space } from '../../fs/fs.ts';
import { vfs_register_file } from '../../fs/namei.ts';
import { do_sys_open, ksys_ftruncate } from '../../fs/open.ts';
import { walk_address } from '../../inspect.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { folio_lock, folio_unlock } from '../filemap/folio_lock.ts';
import { folio_put } from '../folio.ts';
import { make_guard_swp_entry, softleaf_from_pte, softleaf_is_uffd_wp_marker } from '../leafops.ts';
import { sys_madvise } from '../madvise/madvise.ts';
import type { mm_struct } from '../mm_types.ts';
import { mmap_write_lock, mmap_write_unlock } from '../mmap_lock.ts';
import { folio_get, pfn_to_page } from '../page.ts';
import { alloc_page } from '../page_alloc.ts';
import { folio_mapcount } from '../rmap/rmap.ts';
import { try_to_migrate } from '../rmap/walk.ts';
import { leaf_at, vma_of } from '../testing.ts';
import {
  cond_install_uffd_wp_ptes,
  unmap_mapping_folio,
  unmap_mapping_pages,
  unmap_mapping_range,
  vm_insert_page,
  zap_special_vma_range,
  zap_vma_range,
} from './zap.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const RW = 3;
const [SHARED, PRIVATE, PRIVATE_ANON] = [0x11, 0x12, 0x32];
const [ANONPAGES, SHMEMPAGES] = [1, 3];
const UFFD_WP = 512;
const [VM_UFFD_WP, VM_MIXEDMAP] = [0x1000, 1 << 28];
const DONTNEED = 4;
const [dirty, referenced] = [1 << 2, 1 << 5];
const [EFAULT, EBUSY, EINVAL] = [-14, -16, -22];

function run(body: (m: Machine, mm: mm_struct) => Gen<void>, thp: 'never' | 'always' = 'never'): void {
  run_clean(t, small_machine({ thp }), body);
}

/** Returns which of the pages from MAP on have an entry. */
function used(mm: mm_struct, pages: number): number[] {
  return [...Array(pages).keys()].filter((n) => walk_address(mm, MAP + n * PAGE).entry !== 0);
}

t.test('MADV_DONTNEED of all that a pte table maps frees the table, unless something stays in it', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, 2 * HUGE, RW, PRIVATE_ANON, -1, 0);
    for (const at of [MAP, MAP + PAGE, MAP + HUGE]) yield* user_store32(m, at, 1);
    const bytes = mm.pgtables_bytes;
    yield* sys_madvise(m, MAP, HUGE - PAGE, DONTNEED);
    t.equal(mm.pgtables_bytes, bytes, 'not for a part of it');
    t.same([leaf_at(mm, MAP).level, mm.rss_stat[ANONPAGES]], ['pte', 1]);
    yield* sys_madvise(m, MAP, HUGE, DONTNEED);
    t.equal(mm.pgtables_bytes, bytes - PAGE);
    t.equal(leaf_at(mm, MAP).level, 'none');
    const { table, index } = leaf_at(mm, MAP + HUGE);
    table.entry[index + 9] = make_guard_swp_entry();
    yield* sys_madvise(m, MAP + HUGE, HUGE, DONTNEED);
    t.equal(mm.pgtables_bytes, bytes - PAGE);
    t.same([table.entry[index], table.entry[index + 9], mm.rss_stat[ANONPAGES]], [0, make_guard_swp_entry(), 0]);
    yield* user_store32(m, MAP, 2);
    t.equal(mm.pgtables_bytes, bytes);
  });
  t.end();
});

t.test('a hole in a file unmaps it everywhere, private copies only on demand', (t) => {
  run(function* (m, mm) {
    const fd = yield* do_sys_open(m, '/tmp', 0o20200002, 0o600);
    yield* ksys_ftruncate(m, fd, 4 * PAGE);
    yield* sys_mmap(m, MAP, 4 * PAGE, RW, SHARED, fd, 0);
    yield* sys_mmap(m, MAP + 4 * PAGE, 3 * PAGE, RW, PRIVATE, fd, PAGE);
    yield* user_memset(m, MAP, 1, 7 * PAGE);
    const mapping = vma_of(mm, MAP).vm_file?.f_mapping as address_space;
    t.same([mm.rss_stat[ANONPAGES], mm.rss_stat[SHMEMPAGES]], [3, 4]);
    yield* unmap_mapping_pages(m, mapping, 1, 2, false);
    t.same(used(mm, 7), [0, 3, 4, 5, 6]);
    yield* unmap_mapping_range(m, mapping, PAGE + 1, 1, true);
    t.same(used(mm, 7), [0, 3, 5, 6], 'of a byte, its page');
    const folio = pfn_to_page(m, Math.floor(leaf_at(mm, MAP + 3 * PAGE).entry / 2 ** 20));
    m.page.flags[folio] &= ~(dirty | referenced);
    yield* folio_lock(m, folio);
    yield* unmap_mapping_folio(m, folio);
    folio_unlock(m, folio);
    t.equal(folio_mapcount(m, folio), 0);
    t.equal(m.page.flags[folio] & (dirty | referenced), dirty | referenced, 'what the entry knew is not lost');
    t.same(used(mm, 7), [0, 5, 6], 'the private copy stays');
    yield* unmap_mapping_pages(m, mapping, 3, 0, true);
    t.same(used(mm, 7), [0, 5], 'without an end: all that follows');
    t.same([mm.rss_stat[ANONPAGES], mm.rss_stat[SHMEMPAGES]], [1, 1]);
    t.equal(yield* user_load32(m, MAP + 3 * PAGE), 0x01010101);
  });
  t.end();
});

t.test('part of a huge page is zapped from its small pieces, and a migration entry without its page', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, HUGE, RW, PRIVATE_ANON, -1, 0);
    yield* user_store32(m, MAP, 1);
    yield* zap_vma_range(m, vma_of(mm, MAP), MAP + 3 * PAGE, PAGE);
    t.same([leaf_at(mm, MAP).level, used(mm, 5), mm.rss_stat[ANONPAGES]], ['pte', [0, 1, 2, 4], 511]);
    yield* zap_vma_range(m, vma_of(mm, MAP), MAP, HUGE);
    t.same([used(mm, 512), mm.rss_stat[ANONPAGES]], [[], 0]);
    yield* sys_mmap(m, MAP, HUGE, 0, PRIVATE_ANON, -1, 0);
    yield* sys_mmap(m, MAP, PAGE, RW, PRIVATE_ANON, -1, 0);
    yield* user_store32(m, MAP, 1);
    const folio = pfn_to_page(m, Math.floor(leaf_at(mm, MAP).entry / 2 ** 20));
    folio_get(m, folio);
    yield* folio_lock(m, folio);
    yield* try_to_migrate(m, folio, 0);
    const refs = m.page._refcount[folio];
    yield* zap_vma_range(m, vma_of(mm, MAP), MAP, PAGE);
    t.same([used(mm, 1), mm.rss_stat[ANONPAGES], m.page._refcount[folio]], [[], 0, refs]);
    folio_unlock(m, folio);
    folio_put(m, folio);
  }, 'always');
  t.end();
});

t.test('vm_insert_page() maps driver pages where nothing is', (t) => {
  run(function* (m, mm) {
    vfs_register_file(m, '/dev/maps', 0o600, { mmap_prepare: (_m, desc) => ((desc.vm_ops = {}), 0) });
    yield* sys_mmap(m, MAP, 4 * PAGE, RW, SHARED, yield* do_sys_open(m, '/dev/maps', 2, 0), 0);
    yield* sys_mmap(m, MAP + 4 * PAGE, PAGE, RW, PRIVATE_ANON, -1, 0);
    yield* user_store32(m, MAP + 4 * PAGE, 1);
    const anon = pfn_to_page(m, Math.floor(leaf_at(mm, MAP + 4 * PAGE).entry / 2 ** 20));
    const vma = vma_of(mm, MAP);
    const page = alloc_page(m, 0);
    yield* mmap_write_lock(m, mm);
    t.equal(yield* vm_insert_page(m, vma, MAP - PAGE, page), EFAULT);
    t.equal(yield* vm_insert_page(m, vma, MAP + 4 * PAGE, page), EFAULT);
    t.equal(yield* vm_insert_page(m, vma, MAP, anon), EINVAL);
    t.equal(yield* vm_insert_page(m, vma, MAP, m.zero_page), EINVAL, 'which could be written to');
    t.equal(yield* vm_insert_page(m, vma, MAP + PAGE, page), 0);
    t.equal(yield* vm_insert_page(m, vma, MAP + PAGE, page), EBUSY);
    mmap_write_unlock(m, mm);
    t.equal(vma.vm_flags & VM_MIXEDMAP, VM_MIXEDMAP);
    t.same([m.page._refcount[page], folio_mapcount(m, page), mm.rss_stat[0]], [2, 1, 1]);
    yield* user_store32(m, MAP + PAGE, 99);
    t.equal(m.ram.bytes(m.page.page_to_pfn(page))[0], 99);
    yield* zap_special_vma_range(m, vma, MAP, 5 * PAGE);
    t.equal(m.page._refcount[page], 2, 'a range beyond the mapping is none');
    yield* zap_special_vma_range(m, vma, MAP, 4 * PAGE);
    t.same([m.page._refcount[page], mm.rss_stat[0]], [1, 0]);
    folio_put(m, page);
    yield* zap_special_vma_range(m, vma_of(mm, MAP + 4 * PAGE), MAP + 4 * PAGE, PAGE);
    t.equal(mm.rss_stat[ANONPAGES], 1, 'nor is ordinary memory');
  });
  t.end();
});

t.test('write protection of a file page by userfaultfd outlives the page as a marker', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, 2 * PAGE, RW, 0x31, -1, 0);
    yield* user_load32(m, MAP);
    const { table, index, entry } = leaf_at(mm, MAP);
    const vma = vma_of(mm, MAP);
    const install = (pte: number): boolean => cond_install_uffd_wp_ptes(m, vma, MAP + PAGE, table, index + 1, pte, 1);
    table.entry[index + 1] = 0;
    t.notOk(install(entry + UFFD_WP), 'the vma has no userfaultfd');
    vma.vm_flags |= VM_UFFD_WP;
    t.notOk(install(entry));
    t.ok(install(entry + UFFD_WP));
    t.ok(softleaf_is_uffd_wp_marker(softleaf_from_pte(table.entry[index + 1])));
    vma.vm_flags &= ~VM_UFFD_WP;
  });
  t.end();
});
