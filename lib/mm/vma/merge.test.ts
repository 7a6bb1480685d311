// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import type { Machine } from '../../machine.ts';
import { get_file } from '../../fs/file_table.ts';
import type { file } from '../../fs/fs.ts';
import { mm_alloc } from '../../kernel/fork/mm_init.ts';
import { at_once, small_machine } from '../../kernel/testing.ts';
import { type mm_struct, vm_area_struct } from '../mm_types.ts';
import { mmap_write_lock } from '../mmap_lock.ts';
import { anon_vma_clone, anon_vma_prepare, VMA_OP_REMAP } from '../rmap/anon_vma.ts';
import { shmem_file_setup } from '../shmem.ts';
import type { userfaultfd_ctx } from '../userfaultfd/userfaultfd.ts';
import {
  __split_vma,
  copy_vma,
  find_mergeable_anon_vma,
  vma_merge_existing_range,
  vma_merge_extend,
  vma_merge_new_range,
  VMA_MERGE_NOMERGE,
  vma_merge_struct,
  VMA_MERGE_SUCCESS,
  vma_modify_flags,
  VMG_VMA_STATE,
} from './merge.ts';
import { vma_iterator, vma_link } from './vma.ts';

const PAGE = 4096;
const [R, RW, SHARED, MAYBE_GUARD, IO] = [0x71, 0x73, 8, 1 << 11, 1 << 14];
const EINVAL = 22;

interface Options {
  flags?: number;
  file?: file;
  pgoff?: number;
  anon_pgoff?: number;
  close?: boolean;
}

/** An address space whose vmas are made by page numbers; `faulted` gives one its anon_vma. */
class Space {
  readonly m: Machine = small_machine();
  readonly mm: mm_struct = mm_alloc(this.m) as mm_struct;
  constructor() {
    at_once(mmap_write_lock(this.m, this.mm));
  }
  add(start: number, end: number, o: Options = {}): vm_area_struct {
    const vma = new vm_area_struct(this.mm, start * PAGE, end * PAGE);
    vma.vm_flags = o.flags ?? RW;
    vma.vm_pgoff = o.pgoff ?? start;
    vma.vm_anon_pgoff = o.anon_pgoff ?? start;
    vma.vm_file = o.file === undefined ? null : get_file(o.file);
    if (o.close || o.file)
      vma.vm_ops = o.close
        ? {
            *close() {
              return;
            },
          }
        : {};
    at_once(vma_link(this.m, this.mm, vma));
    return vma;
  }
  faulted(vma: vm_area_struct): vm_area_struct {
    t.equal(at_once(anon_vma_prepare(this.m, vma)), 0);
    return vma;
  }
  /** Merges the free range with what lies next to it, as mmap() would. */
  fill(start: number, end: number, o: Options = {}): number {
    const vmg = new vma_merge_struct(
      this.mm,
      new vma_iterator(this.mm, start * PAGE),
      start * PAGE,
      end * PAGE,
      o.flags ?? RW,
      o.pgoff ?? start,
      o.anon_pgoff ?? start,
    );
    vmg.file = o.file ?? null;
    vmg.prev = this.mm.mm_mt.filter((v) => v.vm_end <= start * PAGE).at(-1) ?? null;
    vmg.next = this.mm.mm_mt.find((v) => v.vm_start >= end * PAGE) ?? null;
    at_once(vma_merge_new_range(this.m, vmg));
    return vmg.state;
  }
  /** Changes the flags of a part of the vma, as mprotect() would, without setting them. */
  change(vma: vm_area_struct, start: number, end: number, flags: number): number {
    const prev = start * PAGE > vma.vm_start ? vma : (this.mm.mm_mt[this.mm.mm_mt.indexOf(vma) - 1] ?? null);
    const vmg = VMG_VMA_STATE(new vma_iterator(this.mm, vma.vm_start), prev, vma, start * PAGE, end * PAGE);
    vmg.vm_flags = flags;
    at_once(vma_merge_existing_range(this.m, vmg));
    return vmg.state;
  }
  get map(): string {
    return this.mm.mm_mt
      .map((v) => `${v.vm_start / PAGE}-${v.vm_end / PAGE}@${v.vm_pgoff}${(v.vm_flags & 3) === 3 ? '' : 'r'}`)
      .join(' ');
  }
}

t.test('a new range joins its neighbours on either side or both', (t) => {
  const s = new Space();
  const first = s.add(0, 4);
  s.add(8, 12);
  t.equal(s.fill(5, 6), VMA_MERGE_NOMERGE, 'not next to any');
  t.equal(s.fill(4, 5), VMA_MERGE_SUCCESS);
  t.equal(s.map, '0-5@0 8-12@8');
  t.equal(s.fill(7, 8), VMA_MERGE_SUCCESS);
  t.equal(s.map, '0-5@0 7-12@7');
  t.equal(s.fill(5, 7), VMA_MERGE_SUCCESS);
  t.equal(s.map, '0-12@0');
  t.equal(s.mm.mm_mt[0], first, 'the lower one is left');
  t.end();
});

t.test('what differs in flags, offset, file or userfaultfd does not join, nor does anything special', (t) => {
  const s = new Space();
  const f = shmem_file_setup(s.m, 'f', 64 * PAGE, 0) as file;
  const low = s.add(0, 4);
  for (const o of [{ flags: R }, { pgoff: 5 }, { file: f }, { flags: RW | IO }])
    t.equal(s.fill(4, 5, o), VMA_MERGE_NOMERGE);
  low.vm_flags |= IO;
  t.equal(s.fill(4, 5, { flags: RW | IO }), VMA_MERGE_NOMERGE, 'not even two of them');
  low.vm_flags = RW;
  low.vm_userfaultfd_ctx = {} as userfaultfd_ctx;
  t.equal(s.fill(4, 5), VMA_MERGE_NOMERGE, "it is somebody's");
  s.add(10, 12, { file: f, pgoff: 50 });
  t.equal(
    s.fill(12, 13, { file: f, pgoff: 52, anon_pgoff: 99 }),
    VMA_MERGE_NOMERGE,
    'private pages of a file have an offset of their own',
  );
  t.equal(s.fill(12, 13, { file: f, pgoff: 52 }), VMA_MERGE_SUCCESS);
  s.add(20, 22, { flags: RW | SHARED, file: f, pgoff: 60 });
  t.equal(
    s.fill(22, 23, { flags: RW | SHARED, file: f, pgoff: 62, anon_pgoff: 99 }),
    VMA_MERGE_SUCCESS,
    'shared ones have none',
  );
  t.equal(s.map, '0-4@0 10-13@50 20-23@60');
  t.equal(f.f_mapping?.i_mmap.length, 2);
  t.end();
});

t.test('a change of part of a vma gives the part to a neighbour that is so already', (t) => {
  const layouts: [number, number, number, string][] = [
    [10, 20, VMA_MERGE_SUCCESS, '0-30@0r'],
    [10, 14, VMA_MERGE_SUCCESS, '0-14@0r 14-20@14 20-30@20r'],
    [14, 20, VMA_MERGE_SUCCESS, '0-10@0r 10-14@10 14-30@14r'],
    [12, 14, VMA_MERGE_NOMERGE, '0-10@0r 10-20@10 20-30@20r'],
  ];
  for (const [start, end, state, map] of layouts) {
    const s = new Space();
    s.add(0, 10, { flags: R });
    const middle = s.add(10, 20);
    s.add(20, 30, { flags: R });
    t.equal(s.change(middle, start, end, R), state);
    t.equal(s.map, map);
    t.equal(middle.detached, !s.mm.mm_mt.includes(middle));
  }
  t.end();
});

t.test(
  'an anon_vma passes to the vma that grows; two of them keep vmas apart, and one of a child does not spread',
  (t) => {
    let s = new Space();
    const [a, b, c] = [s.add(0, 10, { flags: R }), s.faulted(s.add(10, 20)), s.add(20, 30, { flags: R })];
    const av = b.anon_vma;
    t.equal(s.change(b, 10, 20, R), VMA_MERGE_SUCCESS);
    t.equal(a.anon_vma, av);
    t.same(
      av?.rb_root.map((avc) => avc.vma),
      [a],
    );
    t.ok(b.detached && c.detached);

    s = new Space();
    const [p, n] = [s.faulted(s.add(0, 10)), s.faulted(s.add(20, 30))];
    t.not(p.anon_vma, n.anon_vma);
    t.equal(s.fill(10, 20), VMA_MERGE_SUCCESS);
    t.equal(s.map, '0-20@0 20-30@20', 'the range goes to the lower one');

    s = new Space();
    const child = s.faulted(s.add(0, 10));
    const parent = s.faulted(s.add(40, 50));
    at_once(anon_vma_clone(s.m, child, parent, VMA_OP_REMAP));
    t.equal(child.anon_vma_chain.length, 2);
    t.equal(s.fill(10, 20), VMA_MERGE_NOMERGE);
    t.end();
  },
);

t.test('a vma that must be told of its end is not merged away', (t) => {
  let s = new Space();
  s.add(0, 10, { flags: R });
  s.add(20, 30, { flags: R, close: true });
  s.add(10, 20, { close: true });
  t.equal(s.change(s.mm.mm_mt[1], 10, 20, R), VMA_MERGE_NOMERGE);
  s = new Space();
  s.add(0, 10);
  s.add(20, 30, { close: true });
  t.equal(s.fill(10, 20), VMA_MERGE_SUCCESS);
  t.equal(s.map, '0-20@0 20-30@20', 'half the merge');
  t.end();
});

t.test('that there may be guards does not keep vmas apart, and the merged one has it', (t) => {
  const s = new Space();
  s.add(0, 10);
  s.add(20, 30, { flags: RW | MAYBE_GUARD });
  t.equal(s.fill(10, 20), VMA_MERGE_SUCCESS);
  t.equal(s.map, '0-30@0');
  t.equal(s.mm.mm_mt[0]?.vm_flags, RW | MAYBE_GUARD);
  t.end();
});

t.test('a split keeps offsets, file and anon_vma on both sides, and the given vma on the side asked for', (t) => {
  const s = new Space();
  const f = shmem_file_setup(s.m, 'f', 64 * PAGE, 0) as file;
  const vma = s.faulted(s.add(10, 20, { file: f, pgoff: 30 }));
  const count = f.f_count;
  const vmi = new vma_iterator(s.mm, vma.vm_start);
  t.equal(at_once(__split_vma(s.m, vmi, vma, 13 * PAGE, true)), 0);
  t.equal(s.map, '10-13@30 13-20@33');
  t.equal(s.mm.mm_mt[1], vma);
  t.equal(at_once(__split_vma(s.m, vmi, vma, 18 * PAGE, false)), 0);
  t.equal(s.map, '10-13@30 13-18@33 18-20@38');
  t.equal(s.mm.mm_mt[1], vma);
  t.same(
    s.mm.mm_mt.map((v) => v.vm_anon_pgoff),
    [10, 13, 18],
  );
  t.equal(f.f_count, count + 2);
  t.equal(vma.anon_vma?.rb_root.length, 3);
  vma.vm_ops = { may_split: (_m, _vma, addr) => (addr === 15 * PAGE ? -EINVAL : 0) };
  t.equal(at_once(__split_vma(s.m, vmi, vma, 15 * PAGE, true)), -EINVAL);
  t.equal(s.mm.mm_mt.length, 3);
  t.end();
});

t.test('for new flags the vma is merged, or cut to the range', (t) => {
  const s = new Space();
  const vma = s.add(10, 20);
  s.add(20, 30, { flags: R | MAYBE_GUARD });
  const modify = (start: number, end: number, wish: { flags: number }): vm_area_struct =>
    at_once(
      vma_modify_flags(
        s.m,
        new vma_iterator(s.mm, 10 * PAGE),
        start > 10 ? vma : null,
        vma,
        start * PAGE,
        end * PAGE,
        wish,
      ),
    ) as vm_area_struct;
  t.equal(modify(13, 15, { flags: R }), vma);
  t.equal(s.map, '10-13@10 13-15@13 15-20@15 20-30@20r');
  t.equal(vma.vm_flags, RW, 'the flags are left to the caller');
  const upper = s.mm.mm_mt[2];
  const wish = { flags: R };
  at_once(vma_modify_flags(s.m, new vma_iterator(s.mm, 15 * PAGE), upper, upper, 17 * PAGE, 20 * PAGE, wish));
  t.equal(s.map, '10-13@10 13-15@13 15-17@15 17-30@17r');
  t.equal(wish.flags, R | MAYBE_GUARD, 'what the merge adds');
  t.end();
});

t.test('a vma that is moved merges where it goes; untouched it takes the offset of the new place', (t) => {
  const s = new Space();
  const [a, b] = [s.add(0, 4), s.add(10, 14)];
  const kept = at_once(copy_vma(s.m, b, 4 * PAGE, 4 * PAGE, 10, 10, true));
  t.same([kept.new_vma === a, kept.vma === b, s.map], [true, true, '0-8@0 10-14@10']);
  const faulted = s.faulted(s.add(20, 22));
  const apart = at_once(copy_vma(s.m, faulted, 8 * PAGE, 2 * PAGE, 20, 20, false));
  t.equal(s.map, '0-8@0 8-10@20 10-14@10 20-22@20');
  t.equal(apart.new_vma?.anon_vma, faulted.anon_vma);
  t.equal(apart.need_rmap_locks, false);
  const self = at_once(copy_vma(s.m, b, 14 * PAGE, 4 * PAGE, 10, 10, false));
  t.same([self.new_vma === b, s.map], [true, '0-8@0 8-10@20 10-18@10 20-22@20'], 'next to itself');
  t.equal(at_once(vma_merge_extend(s.m, new vma_iterator(s.mm, 18 * PAGE), b, PAGE)), b);
  t.equal(s.map, '0-8@0 8-10@20 10-19@10 20-22@20');
  t.same(s.m.log.warnings, []);
  t.end();
});

t.test('an untouched vma uses the anon_vma of a neighbour with which it could merge but for its protection', (t) => {
  const s = new Space();
  const [low, mid, high] = [s.add(0, 10), s.add(10, 20, { flags: R }), s.faulted(s.add(20, 30))];
  t.equal(find_mergeable_anon_vma(s.m, mid), high.anon_vma);
  t.equal(find_mergeable_anon_vma(s.m, low), null, 'only the one next to it');
  s.faulted(mid);
  t.equal(mid.anon_vma, high.anon_vma);
  t.equal(find_mergeable_anon_vma(s.m, low), mid.anon_vma);
  low.vm_pgoff = low.vm_anon_pgoff = 1;
  t.equal(find_mergeable_anon_vma(s.m, low), null);
  t.end();
});
