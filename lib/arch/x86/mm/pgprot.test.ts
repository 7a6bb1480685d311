// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { Machine } from '../../../machine.ts';
import { mm_struct, vm_area_struct, type vm_operations_struct } from '../../../mm/mm_types.ts';
import { vma_set_page_prot } from '../../../mm/mmap/mmap.ts';
import { vm_get_page_prot, vma_pgprot_modify } from './pgprot.ts';
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_NX,
  _PAGE_PRESENT,
  _PAGE_PROTNONE,
  _PAGE_RW,
  _PAGE_SOFT_DIRTY,
  _PAGE_USER,
  ptdesc,
} from './pgtable/pgtable.ts';

const [READ, WRITE, EXEC, SHARED, MAYWRITE, UFFD_WP] = [1, 2, 4, 8, 0x20, 0x1000];
const USER = _PAGE_PRESENT | _PAGE_USER | _PAGE_ACCESSED;

function mapping(vm_flags: number, ops: vm_operations_struct | null = null): vm_area_struct {
  const m = new Machine({ mem: 64 * 1024 * 1024 });
  const vma = new vm_area_struct(new mm_struct(m, 1, new ptdesc(4, 1)), 0x10000, 0x20000);
  vma.vm_flags = vm_flags;
  vma.vm_ops = ops;
  vma_set_page_prot(vma);
  return vma;
}

t.test(
  'the sixteen protections: private memory starts read-only, write means read, and no access at all has its own mark',
  (t) => {
    const prots = [0, 8].map((shared) => [0, 1, 2, 3, 4, 5, 6, 7].map((access) => vm_get_page_prot(access | shared)));
    const none = _PAGE_PROTNONE | _PAGE_ACCESSED;
    const [r, x, rw, rwx] = [USER | _PAGE_NX, USER, USER | _PAGE_RW | _PAGE_NX, USER | _PAGE_RW];
    t.same(prots[0], [none, r, r, r, x, x, x, x]);
    t.same(prots[1], [none, r, rw, rw, x, x, rwx, rwx]);
    t.equal(vm_get_page_prot(READ | MAYWRITE | SHARED), r, 'what may become writable is not yet');
    t.end();
  },
);

t.test('a change keeps dirty and accessed, and takes the rest from the flags', (t) => {
  t.equal(
    vma_pgprot_modify(_PAGE_DIRTY | _PAGE_SOFT_DIRTY | _PAGE_PROTNONE, READ | WRITE | SHARED),
    (USER | _PAGE_RW | _PAGE_NX | _PAGE_DIRTY | _PAGE_SOFT_DIRTY) & ~_PAGE_ACCESSED,
  );
  t.equal(vma_pgprot_modify(USER | _PAGE_RW, READ), USER | _PAGE_NX);
  t.end();
});

t.test('entries of a shared mapping start read-only where somebody must hear of the first write', (t) => {
  const writable = (vma: vm_area_struct): boolean => (vma.vm_page_prot & _PAGE_RW) !== 0;
  const shared = READ | WRITE | SHARED | MAYWRITE;
  t.ok(writable(mapping(shared, {})));
  t.notOk(
    writable(
      mapping(shared, {
        *page_mkwrite() {
          return 0;
        },
      }),
    ),
  );
  t.notOk(
    writable(
      mapping(shared, {
        *pfn_mkwrite() {
          return 0;
        },
      }),
    ),
  );
  t.notOk(writable(mapping(shared | UFFD_WP, {})));
  t.notOk(writable(mapping(READ | WRITE | MAYWRITE)));
  const vma = mapping(shared | EXEC, {
    *page_mkwrite() {
      return 0;
    },
  });
  t.equal(vma.vm_page_prot & _PAGE_NX, 0, 'the other rights are as ever');
  t.end();
});
