// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import { boot } from '../../boot.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean } from '../../kernel/testing.ts';
import { type mm_struct, type vm_area_struct, VM_PFNMAP } from '../../mm/mm_types.ts';
import { vm_munmap } from '../../mm/mmap/mmap.ts';
import { mmap_read_lock, mmap_read_unlock } from '../../mm/mmap_lock.ts';
import { page_to_pfn } from '../../mm/page.ts';
import { vm_mmap } from '../../mm/util.ts';
import { vma_lookup } from '../../mm/vma/vma.ts';
import {
  hmm_mirror,
  hmm_mirror_register,
  hmm_mirror_unregister,
  hmm_range,
  hmm_vma_fault,
  hmm_vma_get_pfns,
  hmm_vma_range_done,
} from './fault.ts';

const PAGE = 4096;
const [VALID, READ, WRITE, EMPTY, SPECIAL] = [1, 2, 4, 16, 128];
const EPERM = 1;
const EINVAL = 22;

interface User {
  m: Machine;
  mm: mm_struct;
  buf: number;
  vma: vm_area_struct;
  range: hmm_range;
  pfns: Float64Array;
}

/** A process with three pages: written, read and untouched. */
function run(mirrored: boolean, prot: number, body: (u: User) => Gen<void>): void {
  run_clean(t, boot({ mem: 128 * 1024 * 1024, thp: 'never', patches: ['hmm-v14'] }), function* (m, mm) {
    const mirror = new hmm_mirror();
    if (mirrored) t.equal(yield* hmm_mirror_register(m, mirror, mm), 0);
    const buf = yield* vm_mmap(m, null, 0, 3 * PAGE, prot, 0x22, 0);
    if (prot & 2) yield* user_store32(m, buf, 1);
    yield* user_load32(m, buf + PAGE);
    yield* mmap_read_lock(m, mm);
    yield* body({
      m,
      mm,
      buf,
      vma: vma_lookup(mm, buf) as vm_area_struct,
      range: new hmm_range(),
      pfns: new Float64Array(3),
    });
    mmap_read_unlock(m, mm);
    if (mirrored) yield* hmm_mirror_unregister(m, mirror);
  });
}

t.test('a snapshot says what is mapped, and faults nothing in', async (t) => {
  run(true, 3, function* ({ m, vma, buf, range, pfns }) {
    t.equal(yield* hmm_vma_get_pfns(m, vma, range, buf, buf + 3 * PAGE, pfns), 0);
    t.equal(pfns[0] % 1024, VALID + READ + WRITE);
    t.equal(pfns[1], page_to_pfn(m, m.zero_page) * 1024 + VALID + READ);
    t.equal(pfns[2], EMPTY);
    t.ok(hmm_vma_range_done(m, vma, range));
  });
});

t.test('a fault brings what is missing, and permission to write where it is asked for', async (t) => {
  run(true, 3, function* ({ m, vma, buf, range, pfns }) {
    t.equal(yield* hmm_vma_fault(m, vma, range, buf, buf + 3 * PAGE, pfns, false, true), 0);
    t.same(
      [...pfns].map((e) => e % 1024),
      [VALID + READ + WRITE, VALID + READ, VALID + READ],
    );
    t.ok(hmm_vma_range_done(m, vma, range));
    t.equal(yield* hmm_vma_fault(m, vma, range, buf, buf + 3 * PAGE, pfns, true, true), 0);
    t.same(
      [...pfns].map((e) => e % 1024),
      [7, 7, 7],
    );
    t.notOk(hmm_vma_range_done(m, vma, range), 'the zero page that was mapped is gone');
  });
});

t.test('what changes meanwhile makes a range invalid', async (t) => {
  run(true, 3, function* ({ m, mm, vma, buf, range, pfns }) {
    const rest = new hmm_range();
    t.equal(yield* hmm_vma_get_pfns(m, vma, range, buf, buf + PAGE, pfns), 0);
    t.equal(yield* hmm_vma_get_pfns(m, vma, rest, buf + PAGE, buf + 3 * PAGE, pfns), 0);
    mmap_read_unlock(m, mm);
    yield* vm_munmap(m, buf, PAGE);
    yield* mmap_read_lock(m, mm);
    t.notOk(hmm_vma_range_done(m, vma, range));
    t.ok(hmm_vma_range_done(m, vma, rest));
  });
});

t.test('without a mirror, outside of the vma and without permission there is nothing to be had', async (t) => {
  run(false, 3, function* ({ m, vma, buf, range, pfns }) {
    t.equal(yield* hmm_vma_fault(m, vma, range, buf, buf + PAGE, pfns, false, true), -EINVAL);
  });
  run(true, 1, function* ({ m, vma, buf, range, pfns }) {
    t.equal(yield* hmm_vma_fault(m, vma, range, buf, vma.vm_end + PAGE, pfns, false, true), -EINVAL);
    t.equal(yield* hmm_vma_fault(m, vma, range, buf, buf + PAGE, pfns, true, true), -EPERM);
    vma.vm_flags |= VM_PFNMAP;
    t.equal(yield* hmm_vma_get_pfns(m, vma, range, buf, buf + PAGE, pfns), -EINVAL);
    t.equal(pfns[0], SPECIAL);
    t.equal(yield* hmm_vma_fault(m, vma, range, buf, buf + 2 * PAGE, pfns, false, true), 0);
    t.same([...pfns], [SPECIAL, SPECIAL, 0]);
    hmm_vma_range_done(m, vma, range);
    vma.vm_flags &= ~VM_PFNMAP;
  });
});
