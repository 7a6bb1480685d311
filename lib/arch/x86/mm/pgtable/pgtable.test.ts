// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import {
  ALIGN,
  ALIGN_DOWN,
  PAGE_ALIGN,
  PAGE_ALIGN_DOWN,
  pfn_pte,
  pgd_index,
  pmd_addr_end,
  pmd_index,
  pmd_is_table,
  pmd_leaf,
  pmd_none,
  pmd_present,
  pmd_trans_huge,
  ptdesc,
  pte_advance_pfn,
  pte_clear_flags,
  pte_clear_uffd,
  pte_dirty,
  pte_flags,
  pte_index,
  pte_mkclean,
  pte_mkdirty,
  pte_mkold,
  pte_mksoft_dirty,
  pte_mkspecial,
  pte_mkuffd,
  pte_mkwrite,
  pte_mkyoung,
  pte_modify,
  pte_none,
  pte_pfn,
  pte_present,
  pte_protnone,
  pte_set_flags,
  pte_soft_dirty,
  pte_special,
  pte_swp_clear_exclusive,
  pte_swp_exclusive,
  pte_swp_mkexclusive,
  pte_uffd,
  pte_write,
  pte_wrprotect,
  pte_young,
  pud_addr_end,
  pud_index,
} from './pgtable.ts';

const [MIB2, GIB] = [2 ** 21, 2 ** 30];
// The model's own bits of an entry, declared once more: what tests them has to know them from elsewhere.
const [PRESENT, RW, USER_BIT, ACCESSED, DIRTY, PSE, PROTNONE, SPECIAL, SOFT_DIRTY, UFFD_WP, NX] = Array.from(
  { length: 11 },
  (_, bit) => 1 << bit,
);
const [LEAF, TABLE] = [1 << 11, 1 << 18];
const USER = PRESENT | USER_BIT;

t.test('the indices of an address are its bits from 12, 21, 30 and 39 on, nine each', (t) => {
  const addr = 0x7abcdef12345;
  t.same(
    [pgd_index(addr), pud_index(addr), pmd_index(addr), pte_index(addr)],
    [
      (0x7abcdef12345n >> 39n) & 511n,
      (0x7abcdef12345n >> 30n) & 511n,
      (0x7abcdef12345n >> 21n) & 511n,
      (0x7abcdef12345n >> 12n) & 511n,
    ].map(Number),
  );
  t.same(
    [pgd_index(0x7fffffffefff), pud_index(0x7fffffffefff), pmd_index(0x7fffffffefff), pte_index(0x7fffffffefff)],
    [255, 511, 511, 510],
  );
  t.end();
});

t.test('addresses above 32 bits are rounded exactly', (t) => {
  t.equal(PAGE_ALIGN_DOWN(0x7f0000001fff), 0x7f0000001000);
  t.same(
    [0x7f0000001000, 0x7f0000001001, 0x7f0000001fff].map(PAGE_ALIGN),
    [0x7f0000001000, 0x7f0000002000, 0x7f0000002000],
  );
  t.same(
    [ALIGN(0x7f0000000001, MIB2), ALIGN(0x7f0000000000, MIB2), ALIGN_DOWN(0x7f00001fffff, MIB2)],
    [0x7f0000200000, 0x7f0000000000, 0x7f0000000000],
  );
  const at = 0x200000000 + MIB2 - 4096;
  t.equal(pmd_addr_end(at, at + GIB), 0x200000000 + MIB2);
  t.equal(pmd_addr_end(at, at + 4096), at + 4096);
  t.equal(pmd_addr_end(0x200000000, 2 ** 40), 0x200000000 + MIB2, 'an aligned one is not its own end');
  t.equal(pud_addr_end(at, 2 ** 40), 0x200000000 + GIB);
  t.equal(pud_addr_end(at, at + 1), at + 1);
  t.end();
});

t.test('an entry keeps pfn and flags apart, also for the largest of either', (t) => {
  const all = 0xfffff;
  const top = pfn_pte(2 ** 32 - 1, all);
  t.ok(Number.isSafeInteger(top));
  t.same([pte_pfn(top), pte_flags(top)], [2 ** 32 - 1, all]);
  t.equal(pte_pfn(pte_clear_flags(top, all)), 2 ** 32 - 1);
  t.equal(pte_flags(pte_clear_flags(top, all)), 0);
  const pte = pfn_pte(2 ** 31, USER);
  t.same([pte_pfn(pte_advance_pfn(pte, 511)), pte_flags(pte_advance_pfn(pte, 511))], [2 ** 31 + 511, USER]);
  t.equal(
    pte_set_flags(pte_set_flags(pte, DIRTY), DIRTY | RW),
    pfn_pte(2 ** 31, USER | DIRTY | RW),
    'set twice is set once',
  );
  t.equal(pte_clear_flags(pte, DIRTY), pte);
  t.end();
});

t.test('each mark has a bit of its own', (t) => {
  const pte = pfn_pte(0x12345, USER);
  const marks: [(e: number) => number, (e: number) => boolean, (e: number) => number][] = [
    [pte_mkwrite, pte_write, pte_wrprotect],
    [pte_mkyoung, pte_young, pte_mkold],
    [pte_mkuffd, pte_uffd, pte_clear_uffd],
    [pte_swp_mkexclusive, pte_swp_exclusive, pte_swp_clear_exclusive],
  ];
  for (const [i, [set, test, clear]] of marks.entries()) {
    t.same(
      marks.map(([, other]) => other(set(pte))),
      marks.map((_, k) => k === i),
    );
    t.notOk(test(pte));
    t.equal(clear(set(pte)), pte);
    t.equal(clear(pte), pte);
  }
  const dirty = pte_mkdirty(pte);
  t.same([pte_dirty(dirty), pte_soft_dirty(dirty)], [true, true], 'what is dirty is soft-dirty');
  t.same([pte_dirty(pte_mkclean(dirty)), pte_soft_dirty(pte_mkclean(dirty))], [false, true], 'and stays so once clean');
  t.equal(pte_dirty(pte_mksoft_dirty(pte)), false);
  t.same([pte_special(pte), pte_special(pte_mkspecial(pte))], [false, true]);
  const watched = pte_mkuffd(pte_mkwrite(pte));
  t.same([pte_uffd(watched), pte_write(watched)], [true, false], 'userfaultfd sees the next write');
  t.equal(pte_write(pte_clear_uffd(watched)), false, 'and lets it pass through a fault only');
  t.end();
});

t.test('PROT_NONE is present and no access, a software leaf neither present nor none', (t) => {
  const none = pfn_pte(7, PROTNONE | ACCESSED);
  t.same([pte_present(none), pte_protnone(none), pte_none(none)], [true, true, false]);
  t.same([pte_present(pfn_pte(7, USER)), pte_protnone(pfn_pte(7, USER))], [true, false]);
  const leaf = pfn_pte(7, LEAF);
  t.same([pte_present(leaf), pte_none(leaf), pte_protnone(leaf)], [false, false, false]);
  t.same([pte_present(0), pte_none(0)], [false, true]);
  t.end();
});

t.test('mprotect(2) takes rights and gives them, and an entry keeps its page and what happened to it', (t) => {
  const mapped = pfn_pte(0x9abcdef, USER | RW | ACCESSED | DIRTY);
  const hidden = pte_modify(mapped, PROTNONE | NX);
  t.same([pte_present(hidden), pte_protnone(hidden), pte_write(hidden)], [true, true, false]);
  t.same([pte_pfn(hidden), pte_dirty(hidden), pte_young(hidden)], [0x9abcdef, true, true]);
  const shown = pte_modify(hidden, USER | RW);
  t.same([pte_protnone(shown), pte_write(shown), pte_dirty(shown)], [false, true, true]);
  t.equal(pte_modify(hidden, USER | RW), pte_modify(mapped, USER | RW), 'whatever it was before');
  t.end();
});

t.test('a new protection says nothing about the past: only the entry does', (t) => {
  const clean = pfn_pte(3, USER);
  const modified = pte_modify(clean, USER | DIRTY | ACCESSED);
  t.same([pte_dirty(modified), pte_young(modified)], [false, false]);
  for (const [mark, test] of [
    [SPECIAL, pte_special],
    [SOFT_DIRTY, pte_soft_dirty],
    [UFFD_WP, pte_uffd],
    [PSE, pmd_leaf],
  ] as const) {
    t.ok(test(pte_modify(pte_set_flags(clean, mark), USER)), `mark ${mark} stays`);
    t.notOk(test(pte_modify(clean, USER)));
  }
  t.end();
});

t.test('a pmd is empty, a table, or huge, which it stays while the hardware must not see it', (t) => {
  const what = (pmd: number): boolean[] => [
    pmd_none(pmd),
    pmd_present(pmd),
    pmd_is_table(pmd),
    pmd_trans_huge(pmd),
    pmd_leaf(pmd),
  ];
  t.same(what(0), [true, false, false, false, false]);
  t.same(what(pfn_pte(1, TABLE | USER)), [false, true, true, false, false]);
  t.same(what(pfn_pte(512, USER | PSE)), [false, true, false, true, true]);
  t.same(what(pfn_pte(512, USER_BIT | PSE)), [false, true, false, true, true], 'invalidated');
  t.same(what(pfn_pte(512, LEAF)), [false, false, false, false, false], 'a migration entry');
  t.end();
});

t.test('a new table is empty, and only upper ones have tables below them', (t) => {
  const [ptes, pmds] = [new ptdesc(1, 5), new ptdesc(2, 6)];
  t.equal(ptes.entry.length, 512);
  t.ok(ptes.entry.every((e) => e === 0));
  t.equal(ptes.child, null);
  t.equal(pmds.child?.length, 512);
  t.not(ptes.ptl, pmds.ptl, 'each has its lock');
  t.end();
});
