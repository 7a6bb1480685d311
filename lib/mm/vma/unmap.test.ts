// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { UserSignal } from '../../kernel/signal.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { lru_add_drain } from '../folio.ts';
import { type mm_struct, vm_area_struct } from '../mm_types.ts';
import { find_vma } from '../mmap/find_vma.ts';
import { do_munmap, sys_munmap, vm_munmap } from '../mmap/mmap.ts';
import { mmap_write_lock, mmap_write_unlock, vma_start_write } from '../mmap_lock.ts';
import {
  do_vmi_munmap,
  vma_munmap_struct,
  vms_abort_munmap_vmas,
  vms_clean_up_area,
  vms_gather_munmap_vmas,
} from './unmap.ts';
import { vma_iterator } from './vma.ts';

const [PAGE, HUGE, BASE, TASK_SIZE] = [4096, 2 * 1024 * 1024, 0x200000000, 0x7ffffffff000];
const [ENOMEM, EINVAL, SIGSEGV] = [-12, -22, 11];
const [R, RW, RX] = [1, 3, 5];
const [PRIVATE_ANON_FIXED, SHARED_ANON_FIXED] = [0x32, 0x31];

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): void {
  const m = run_clean(t, small_machine(), body);
  t.same(m.log.lines, []);
}

const map = (m: Machine, page: number, n: number, prot = RW, flags = PRIVATE_ANON_FIXED): Gen<number> =>
  sys_mmap(m, BASE + page * PAGE, n * PAGE, prot, flags, -1, 0);

/** The vmas between BASE and the stack, in pages from BASE. */
function vmas(mm: mm_struct): string {
  return mm.mm_mt
    .filter((v) => v.vm_end < 0x7ff000000000)
    .map((v) => `${(v.vm_start - BASE) / PAGE}-${(v.vm_end - BASE) / PAGE}`)
    .join(' ');
}

t.test('what munmap() refuses, and what it lets pass', (t) => {
  run(function* (m, mm) {
    yield* map(m, 0, 4);
    for (const [addr, len] of [
      [BASE + 1, PAGE],
      [BASE, 0],
      [TASK_SIZE + PAGE, PAGE],
      [BASE, TASK_SIZE],
      [TASK_SIZE, PAGE],
    ] as const) {
      t.equal(yield* sys_munmap(m, addr, len), EINVAL);
    }
    t.equal(vmas(mm), '0-4');
    t.equal(yield* sys_munmap(m, BASE + 3 * PAGE, 1), 0, 'a length is rounded up');
    t.equal(vmas(mm), '0-3');
    t.equal(yield* sys_munmap(m, BASE + 10 * PAGE, 10 * PAGE), 0, 'nothing is there');
    t.equal(yield* vm_munmap(m, BASE - PAGE, 2 * PAGE), 0);
    t.equal(vmas(mm), '1-3');
    t.equal(mm.mmap_lock.owner, null);
  });
  t.end();
});

t.test('sizes are counted by kind, and promised memory is given back', (t) => {
  run(function* (m, mm) {
    const counts = (): number[] => [mm.total_vm, mm.data_vm, mm.exec_vm, m.vm_committed_as];
    const before = counts();
    const more = (): number[] => counts().map((n, i) => n - before[i]);
    yield* map(m, 0, 8, RW);
    yield* map(m, 8, 8, RX);
    yield* map(m, 16, 8, R);
    t.same(more(), [24, 8, 8, 8]);
    yield* sys_munmap(m, BASE + 6 * PAGE, 12 * PAGE);
    t.equal(vmas(mm), '0-6 18-24');
    t.same(more(), [12, 6, 0, 6]);
    yield* sys_munmap(m, BASE, 64 * PAGE);
    t.same(counts(), before);
  });
  t.end();
});

t.test('pages and the tables that nothing needs any more are freed; a neighbour keeps its own', (t) => {
  run(function* (m, mm) {
    const [bytes, free] = [mm.pgtables_bytes, m.zone.nr_free];
    yield* map(m, 0, 1536);
    for (const page of [0, 511, 512, 1100]) yield* user_store32(m, BASE + page * PAGE, page);
    t.equal(mm.pgtables_bytes, bytes + 5 * PAGE);
    t.equal(mm.rss_stat[1], 4);
    yield* sys_munmap(m, BASE + PAGE, 1200 * PAGE);
    t.equal(mm.rss_stat[1], 1);
    t.equal(mm.pgtables_bytes, bytes + 4 * PAGE, 'the second table; the vmas left may use the others');
    t.equal(yield* user_load32(m, BASE), 0);
    let sig = 0;
    try {
      yield* user_load32(m, BASE + 512 * PAGE);
    } catch (e) {
      sig = e instanceof UserSignal ? e.sig : -1;
    }
    t.equal(sig, SIGSEGV);
    yield* sys_munmap(m, BASE, 3 * HUGE);
    t.equal(mm.pgtables_bytes, bytes);
    lru_add_drain(m);
    t.equal(m.zone.nr_free, free);
  });
  t.end();
});

t.test('a driver hears once that its vma goes, with the file in place, and may refuse a split', (t) => {
  run(function* (m, mm) {
    yield* map(m, 0, 8, RW, SHARED_ANON_FIXED);
    const vma = find_vma(mm, BASE) as vm_area_struct;
    const closed: string[] = [];
    vma.vm_ops = {
      ...vma.vm_ops,
      *close(_m, v) {
        closed.push(`${(v.vm_start - BASE) / PAGE}-${(v.vm_end - BASE) / PAGE} ${v.vm_file === vma.vm_file}`);
      },
      may_split: (_m, _v, addr) => (addr === BASE + 3 * PAGE ? EINVAL : 0),
    };
    t.equal(yield* sys_munmap(m, BASE + 3 * PAGE, PAGE), EINVAL);
    t.equal(yield* sys_munmap(m, BASE + 2 * PAGE, PAGE), EINVAL, 'the upper edge');
    t.same(vmas(mm), '0-2 2-8', 'the lower one was split already, and nothing was unmapped');
    t.equal(yield* sys_munmap(m, BASE + PAGE, 4 * PAGE), 0);
    t.equal(vmas(mm), '0-1 5-8');
    t.same(closed, ['1-2 true', '2-5 true']);
    yield* sys_munmap(m, BASE, 8 * PAGE);
    t.same(closed.slice(2), ['0-1 true', '5-8 true']);
  });
  t.end();
});

t.test('a mapping cannot be made two where there are as many as may be, but it can be shortened', (t) => {
  run(function* (m, mm) {
    yield* map(m, 0, 8);
    const at = mm.mm_mt.length - 1;
    const crowd = Array.from(
      { length: 65530 - mm.mm_mt.length },
      (_, i) => new vm_area_struct(mm, BASE + (100 + 2 * i) * PAGE, BASE + (101 + 2 * i) * PAGE),
    );
    const stack = mm.mm_mt.splice(at);
    for (const vma of [...crowd, ...stack]) mm.mm_mt.push(vma);
    t.equal(yield* sys_munmap(m, BASE + PAGE, PAGE), ENOMEM);
    t.equal(yield* sys_munmap(m, BASE, PAGE), 0);
    t.equal(yield* sys_munmap(m, BASE + 7 * PAGE, PAGE), 0);
    mm.mm_mt.splice(at, crowd.length);
    t.equal(vmas(mm), '1-7');
    t.equal(mm.mmap_lock.owner, null);
  });
  t.end();
});

t.test('a munmap that is given up leaves all as it was, or a gap if the pages are gone', (t) => {
  run(function* (m, mm) {
    yield* map(m, 0, 4);
    yield* map(m, 4, 4, R);
    yield* user_store32(m, BASE + 2 * PAGE, 9);
    const gather = function* (): Gen<vma_munmap_struct> {
      const vmi = new vma_iterator(mm, BASE + 2 * PAGE);
      const vms = new vma_munmap_struct(
        vmi,
        find_vma(mm, BASE + 2 * PAGE),
        BASE + 2 * PAGE,
        BASE + 6 * PAGE,
        null,
        false,
      );
      t.equal(yield* vms_gather_munmap_vmas(m, vms), 0);
      t.same([vms.nr_pages, vms.data_vm, vms.nr_accounted], [4, 2, 2]);
      t.same(
        [vms.unmap_start, vms.unmap_end],
        [BASE + 2 * PAGE, BASE + 6 * PAGE],
        'tables may go up to the neighbours',
      );
      return vms;
    };
    yield* mmap_write_lock(m, mm);
    yield* vms_abort_munmap_vmas(m, yield* gather());
    mmap_write_unlock(m, mm);
    t.equal(vmas(mm), '0-2 2-4 4-6 6-8');
    t.ok(mm.mm_mt.every((v) => !v.detached));
    t.equal(yield* user_load32(m, BASE + 2 * PAGE), 9);
    yield* mmap_write_lock(m, mm);
    const vms = yield* gather();
    yield* vms_clean_up_area(m, vms);
    yield* vms_abort_munmap_vmas(m, vms);
    t.equal(vmas(mm), '0-2 6-8');
    t.equal(mm.rss_stat[1], 0);
    t.equal(yield* do_munmap(m, mm, BASE, PAGE, null), 0);
    t.equal(mm.mmap_lock.owner, m.current, 'who has the lock keeps it');
    yield* vma_start_write(m, find_vma(mm, BASE) as vm_area_struct);
    t.equal(yield* do_vmi_munmap(m, new vma_iterator(mm, BASE), mm, BASE, 4 * PAGE, null, true), 0);
    t.equal(mm.mmap_lock.owner, null, 'unless it asked for the opposite');
    t.equal(vmas(mm), '6-8');
  });
  t.end();
});
