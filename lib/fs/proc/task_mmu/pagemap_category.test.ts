// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_load32, user_store32 } from '../../../arch/x86/mm/uaccess.ts';
import { pmd_index, ptep_get } from '../../../arch/x86/mm/pgtable/pgtable.ts';
import { run_clean, small_machine } from '../../../kernel/testing.ts';
import { sys_madvise } from '../../../mm/madvise/madvise.ts';
import type { mm_struct } from '../../../mm/mm_types.ts';
import { leaf_at, make_pte, map_anon, pte_at, vma_of } from '../../../mm/testing.ts';
import {
  make_uffd_wp_pmd,
  make_uffd_wp_pte,
  pagemap_hugetlb_category,
  pagemap_page_category,
  pagemap_thp_category,
} from './pagemap_category.ts';

const PAGE = 4096;
const MAP = 0x200000000;
const HUGE = 2 * 1024 * 1024;
const GUARD_INSTALL = 102;
const [WRITTEN, PRESENT, SWAPPED, PFNZERO, PMD, GUARD] = [2, 8, 16, 32, 64, 256];
const ALL = 0x3ff;
const VM_UFFD_WP = 1 << 12;

t.test('ptes: nothing, a page, the zero page, a guard; what is written depends on the vma', (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* map_anon(m, MAP, 4);
    yield* user_store32(m, MAP, 1);
    yield* user_load32(m, MAP + PAGE);
    yield* sys_madvise(m, MAP + 2 * PAGE, PAGE, GUARD_INSTALL);
    const mm = m.current.mm as mm_struct;
    const vma = vma_of(mm, MAP);
    const kinds = (): number[] =>
      [0, 1, 2, 3].map((k) => pagemap_page_category(m, ALL, vma, MAP + k * PAGE, pte_at(mm, MAP + k * PAGE)));
    t.same(kinds(), [PRESENT, PRESENT | PFNZERO, SWAPPED | GUARD, 0]);
    vma.vm_flags |= VM_UFFD_WP;
    t.same(kinds(), [PRESENT | WRITTEN, PRESENT | PFNZERO | WRITTEN, SWAPPED | GUARD | WRITTEN, WRITTEN]);
    for (const k of [0, 3]) {
      const { pt, i } = make_pte(m, mm, MAP + k * PAGE);
      make_uffd_wp_pte(m, vma, MAP + k * PAGE, pt, i, ptep_get(pt, i));
    }
    t.same(kinds(), [PRESENT, PRESENT | PFNZERO | WRITTEN, SWAPPED | GUARD | WRITTEN, SWAPPED]);
    vma.vm_flags &= ~VM_UFFD_WP;
  });
  t.end();
});

t.test('huge pages', (t) => {
  run_clean(t, small_machine({ thp: 'always' }), function* (m) {
    yield* map_anon(m, MAP, HUGE / PAGE);
    yield* user_store32(m, MAP, 1);
    const mm = m.current.mm as mm_struct;
    const vma = vma_of(mm, MAP);
    const leaf = leaf_at(mm, MAP);
    t.equal(pagemap_thp_category(m, ALL, vma, MAP, leaf.entry), PRESENT | PMD);
    t.equal(pagemap_hugetlb_category(m, vma, leaf.entry), PRESENT | PMD);
    t.equal(pagemap_thp_category(m, ALL, vma, MAP, 0), PMD);
    t.equal(pagemap_hugetlb_category(m, vma, 0), PMD);
    vma.vm_flags |= VM_UFFD_WP;
    t.equal(pagemap_thp_category(m, ALL, vma, MAP, leaf.entry), PRESENT | PMD | WRITTEN);
    make_uffd_wp_pmd(m, vma, MAP, leaf.table, pmd_index(MAP));
    t.equal(pagemap_thp_category(m, ALL, vma, MAP, leaf_at(mm, MAP).entry), PRESENT | PMD);
    vma.vm_flags &= ~VM_UFFD_WP;
  });
  t.end();
});
