// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../../arch/x86/entry/syscall_64.ts';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { pte_pfn } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { vma_at, walk_address } from '../../inspect.ts';
import { kernel_wait4 } from '../../kernel/exit.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { folio_put } from '../folio.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { folio_alloc, GFP_KERNEL } from '../page_alloc.ts';
import { hugepage_madvise, khugepaged_enter_vma } from './khugepaged.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const [RW, PRIVATE_ANON_FIXED] = [3, 0x32];
const [NR_madvise, HUGEPAGE, NOHUGEPAGE, COLLAPSE] = [28, 14, 15, 25];
const [VM_HUGEPAGE, VM_NOHUGEPAGE] = [1 << 29, 1 << 30];
const MMF_VM_HUGEPAGE = 64;
const [EAGAIN, ENOMEM, EINVAL] = [-11, -12, -22];

function run(thp: 'always' | 'madvise' | 'never', body: (m: Machine, mm: mm_struct) => Gen<void>): void {
  run_clean(t, small_machine({ thp }), function* (m, mm) {
    yield* sys_mmap(m, MAP, 4 * HUGE, RW, PRIVATE_ANON_FIXED, -1, 0);
    yield* body(m, mm);
  });
}

function advise(m: Machine, addr: number, len: number, advice: number): Gen<number> {
  return do_syscall_64(m, NR_madvise, addr, len, advice);
}

const levels = (mm: mm_struct): string[] => [0, 1, 2, 3].map((i) => walk_address(mm, MAP + i * HUGE).level);

t.test('MADV_COLLAPSE makes every aligned 2 MiB huge, whatever the mode', async (t) => {
  run('never', function* (m, mm) {
    for (let i = 0; i < 4; i++) yield* user_store32(m, MAP + i * HUGE + PAGE, i);
    t.equal(yield* advise(m, MAP + PAGE, 3 * HUGE, COLLAPSE), 0);
    t.same(levels(mm), ['pte', 'pmd', 'pmd', 'pte']);
    t.equal(yield* advise(m, MAP + PAGE, HUGE, COLLAPSE), 0, 'no aligned 2 MiB in it');
    t.equal(yield* advise(m, MAP, 4 * HUGE, COLLAPSE), 0);
    t.same(levels(mm), ['pmd', 'pmd', 'pmd', 'pmd']);
    t.equal(yield* user_load32(m, MAP + 3 * HUGE + PAGE), 3);
    t.equal(mm.mmap_lock.readers.length, 0);
  });
});

t.test('one range that fails does not keep the others from it, but decides the errno', async (t) => {
  run('never', function* (m, mm) {
    for (const i of [0, 2, 3]) yield* user_store32(m, MAP + i * HUGE, i);
    t.equal(yield* advise(m, MAP, 4 * HUGE, COLLAPSE), EINVAL, 'nothing is mapped in the second');
    t.same(levels(mm), ['pmd', 'none', 'pmd', 'pmd']);
    yield* user_store32(m, MAP + HUGE, 1);
    const page = m.page.pfn_to_page(pte_pfn(walk_address(mm, MAP + HUGE).entry));
    m.page._refcount[page] = m.page._refcount[page] + 1;
    t.equal(yield* advise(m, MAP + HUGE, HUGE, COLLAPSE), EAGAIN);
    m.page._refcount[page] = m.page._refcount[page] - 1;
    const taken: number[] = [];
    for (let f = folio_alloc(m, GFP_KERNEL, 9); f !== 0; f = folio_alloc(m, GFP_KERNEL, 9)) taken.push(f);
    t.equal(yield* advise(m, MAP, 4 * HUGE, COLLAPSE), ENOMEM);
    t.equal(m.thp.vm_events.get('THP_COLLAPSE_ALLOC_FAILED'), 1);
    for (const f of taken) folio_put(m, f);
    t.equal(yield* advise(m, MAP, 4 * HUGE, COLLAPSE), 0);
  });
});

t.test('MADV_NOHUGEPAGE forbids it; either advice takes the other back', async (t) => {
  run('always', function* (m, mm) {
    t.equal(yield* advise(m, MAP, 4 * HUGE, NOHUGEPAGE), 0);
    yield* user_store32(m, MAP, 1);
    t.equal(walk_address(mm, MAP).level, 'pte');
    t.equal(yield* advise(m, MAP, HUGE, COLLAPSE), EINVAL);
    t.equal(yield* advise(m, MAP, 4 * HUGE, HUGEPAGE), 0);
    const vma = vma_at(mm, MAP) as vm_area_struct;
    t.same([vma.vm_flags & VM_HUGEPAGE, vma.vm_flags & VM_NOHUGEPAGE], [VM_HUGEPAGE, 0]);
    const flags = { val: vma.vm_flags };
    t.equal(hugepage_madvise(m, vma, flags, NOHUGEPAGE), 0);
    t.same([flags.val & VM_HUGEPAGE, flags.val & VM_NOHUGEPAGE], [0, VM_NOHUGEPAGE]);
    t.ok(vma.vm_flags & VM_HUGEPAGE, "the vma itself is the caller's to change");
    t.equal(yield* advise(m, MAP, HUGE, COLLAPSE), 0);
  });
});

t.test('an mm registers once, if something in it could be collapsed, and its children with it', async (t) => {
  run('madvise', function* (m, mm) {
    const vma = vma_at(mm, MAP) as vm_area_struct;
    const count = mm.mm_count;
    khugepaged_enter_vma(m, vma, vma.vm_flags | VM_HUGEPAGE);
    t.equal(mm.flags & MMF_VM_HUGEPAGE, 0, 'nothing was written yet');
    yield* user_store32(m, MAP, 1);
    khugepaged_enter_vma(m, vma, vma.vm_flags);
    t.same([mm.flags & MMF_VM_HUGEPAGE, mm.mm_count], [0, count], 'nobody asked for it');
    for (let i = 0; i < 2; i++) khugepaged_enter_vma(m, vma, vma.vm_flags | VM_HUGEPAGE);
    t.same([mm.flags & MMF_VM_HUGEPAGE, mm.mm_count], [MMF_VM_HUGEPAGE, count + 1]);
    let child: mm_struct | null = null;
    const pid = yield* kernel_clone(m, 0, function* () {
      const own = m.current.mm as mm_struct;
      child = own;
      t.same([own.flags & MMF_VM_HUGEPAGE, own.mm_count - count], [MMF_VM_HUGEPAGE, 1]);
    });
    yield* kernel_wait4(m, pid, 0);
    t.equal((child as mm_struct | null)?.mm_count, 0, 'its end drops the reference');
    t.equal(m.mms.size, 1);
  });
});
