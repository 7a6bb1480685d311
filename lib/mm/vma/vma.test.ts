// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import { boot } from '../../boot.ts';
import type { Machine } from '../../machine.ts';
import { dup_mm, mmput } from '../../kernel/fork/mm_init.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { sys_madvise } from '../madvise/madvise.ts';
import type { mm_struct } from '../mm_types.ts';
import { sys_brk, sys_munmap } from '../mmap/mmap.ts';
import { mmap_read_lock, mmap_read_unlock } from '../mmap_lock.ts';
import { sys_mprotect } from '../mprotect.ts';
import { sys_mremap } from '../mremap/mremap.ts';
import { type mm_walk_ops, walk_page_range } from '../pagewalk.ts';

const PAGE = 4096;
const MIB = 1024 * 1024;
const BASE = 0x200000000;
const [NONE, R, RW] = [0, 1, 3];
const [SHARED, PRIVATE, FIXED, ANON, NOREPLACE] = [0x01, 0x02, 0x10, 0x20, 0x100000];
const [MAYMOVE, MREMAP_FIXED, DONTUNMAP] = [1, 2, 4];
const [DONTNEED, DONTFORK, WIPEONFORK, GUARD, UNGUARD, NORMAL] = [4, 10, 18, 102, 103, 0];
const [ENOMEM, EFAULT, EEXIST, EINVAL] = [-12, -14, -17, -22];

/** Runs user code as a process of a fresh machine without huge pages; answers the machine once the process is gone. */
function run(body: (u: User) => Gen<void>): Machine {
  return run_clean(t, small_machine(), (m) => body(new User(m)));
}

/** The calls of a process, in pages from BASE. */
class User {
  readonly m: Machine;
  constructor(m: Machine) {
    this.m = m;
  }
  get mm(): mm_struct {
    return this.m.current.mm as mm_struct;
  }
  map(page: number, n: number, prot = RW, flags = PRIVATE): Gen<number> {
    return sys_mmap(this.m, BASE + page * PAGE, n * PAGE, prot, flags | FIXED | ANON, -1, 0);
  }
  unmap(page: number, n: number): Gen<number> {
    return sys_munmap(this.m, BASE + page * PAGE, n * PAGE);
  }
  protect(page: number, n: number, prot: number): Gen<number> {
    return sys_mprotect(this.m, BASE + page * PAGE, n * PAGE, prot);
  }
  advise(page: number, n: number, advice: number): Gen<number> {
    return sys_madvise(this.m, BASE + page * PAGE, n * PAGE, advice);
  }
  move(page: number, n: number, to: number, flags = 0): Gen<number> {
    return sys_mremap(this.m, BASE + page * PAGE, n * PAGE, n * PAGE, MAYMOVE | MREMAP_FIXED | flags, BASE + to * PAGE);
  }
  store(page: number, v: number): Gen<void> {
    return user_store32(this.m, BASE + page * PAGE, v);
  }
  load(page: number): Gen<number> {
    return user_load32(this.m, BASE + page * PAGE);
  }
  /** The vmas from BASE on, as `first-end prot`, in pages. */
  vmas(mm = this.mm): string[] {
    return mm.mm_mt
      .filter((v) => v.vm_start >= BASE && v.vm_start < BASE + 2 ** 30)
      .map(
        (v) => `${(v.vm_start - BASE) / PAGE}-${(v.vm_end - BASE) / PAGE} ${['none', 'r', 'w', 'rw'][v.vm_flags & 3]}`,
      );
  }
}

t.test('neighbours that are alike become one vma, and a hole filled between two makes them one', (t) => {
  run(function* (u) {
    yield* u.map(0, 4);
    yield* u.map(8, 4);
    yield* u.map(12, 2, R);
    t.same(u.vmas(), ['0-4 rw', '8-12 rw', '12-14 r']);
    yield* u.map(4, 4);
    t.same(u.vmas(), ['0-12 rw', '12-14 r']);
    yield* u.protect(12, 2, RW);
    t.same(u.vmas(), ['0-14 rw']);
    t.equal(yield* u.map(14, 1, RW, SHARED), BASE + 14 * PAGE);
    t.same(u.vmas(), ['0-14 rw', '14-15 rw'], 'shared memory has a file of its own');
  });
  t.end();
});

t.test(
  'a vma that was faulted in merges with one that was not, but not with one that has an anon_vma of its own',
  (t) => {
    run(function* (u) {
      yield* u.map(0, 2);
      yield* u.map(4, 2);
      yield* u.store(0, 1);
      yield* u.store(4, 1);
      yield* u.map(2, 2);
      t.same(u.vmas(), ['0-4 rw', '4-6 rw']);
    });
    t.end();
  },
);

t.test('mprotect of a part splits, and back to the old protection merges again', (t) => {
  run(function* (u) {
    yield* u.map(0, 6);
    yield* u.store(3, 7);
    yield* u.protect(2, 2, R);
    t.same(u.vmas(), ['0-2 rw', '2-4 r', '4-6 rw']);
    yield* u.protect(2, 2, RW);
    t.same(u.vmas(), ['0-6 rw']);
    yield* u.protect(1, 3, NONE);
    yield* u.protect(2, 3, R);
    t.same(u.vmas(), ['0-1 rw', '1-2 none', '2-5 r', '5-6 rw']);
    t.equal(yield* u.load(3), 7);
  });
  t.end();
});

t.test('munmap cuts the first and the last vma, frees what lay between, and answers 0 for nothing at all', (t) => {
  run(function* (u) {
    yield* u.map(0, 4);
    yield* u.map(4, 4, R);
    yield* u.map(8, 4);
    for (const page of [0, 3, 8, 11]) yield* u.store(page, page + 1);
    t.equal(yield* u.unmap(3, 6), 0);
    t.same(u.vmas(), ['0-3 rw', '9-12 rw']);
    t.equal(u.mm.rss_stat[1], 2 + 0);
    t.equal(yield* u.unmap(100, 4), 0);
    t.equal(yield* sys_munmap(u.m, BASE + 1, PAGE), EINVAL);
    t.equal(yield* sys_munmap(u.m, BASE, 0), EINVAL);
    t.equal(yield* u.load(0), 1);
    t.equal(yield* u.load(11), 12);
  });
  t.end();
});

t.test('what cannot be mapped or changed is refused in upstream order', (t) => {
  run(function* (u) {
    yield* u.map(0, 2);
    yield* u.map(4, 2);
    t.equal(yield* sys_mmap(u.m, 0, 0, RW, PRIVATE | ANON, -1, 0), EINVAL);
    t.equal(yield* sys_mmap(u.m, BASE + 1, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0), EINVAL);
    t.equal(yield* sys_mmap(u.m, 0, 2 ** 47, RW, PRIVATE | ANON, -1, 0), ENOMEM);
    t.equal(yield* sys_mmap(u.m, BASE, PAGE, RW, PRIVATE | ANON | NOREPLACE, -1, 0), EEXIST);
    t.equal(yield* u.protect(0, 6, R), ENOMEM, 'a hole; what lies before it was changed');
    t.same(u.vmas(), ['0-2 r', '4-6 rw']);
    t.equal(yield* u.protect(2, 1, R), ENOMEM);
    t.equal(yield* sys_mprotect(u.m, BASE + 1, PAGE, R), EINVAL);
    t.equal(yield* sys_mprotect(u.m, BASE, PAGE, 0x40), EINVAL);
    t.equal(yield* u.advise(2, 2, NORMAL), ENOMEM);
    t.equal(yield* u.advise(0, 1, 99), EINVAL);
    t.equal(yield* u.advise(0, 1, GUARD), 0);
  });
  t.end();
});

t.test('an anonymous mapping of whole huge pages without a hint is aligned to them', (t) => {
  run(function* (u) {
    const a = yield* sys_mmap(u.m, 0, 4 * MIB, RW, PRIVATE | ANON, -1, 0);
    const b = yield* sys_mmap(u.m, 0, 3 * PAGE, RW, PRIVATE | ANON, -1, 0);
    t.equal(a % (2 * MIB), 0);
    t.equal(b, u.mm.mmap_base - 3 * PAGE, 'the highest gap that fits, where it is not');
    t.equal(
      yield* sys_mmap(u.m, a + PAGE, PAGE, RW, PRIVATE | ANON, -1, 0),
      b - PAGE,
      'a taken hint counts for nothing',
    );
  });
  t.end();
});

t.test('the heap grows and shrinks, and what it lost is gone', (t) => {
  run(function* (u) {
    const start = yield* sys_brk(u.m, 0);
    t.equal(yield* sys_brk(u.m, start + 10 * PAGE), start + 10 * PAGE);
    yield* user_store32(u.m, start + 9 * PAGE, 5);
    t.equal(yield* sys_brk(u.m, start + 4 * PAGE), start + 4 * PAGE);
    t.equal(yield* sys_brk(u.m, start + 10 * PAGE), start + 10 * PAGE);
    t.equal(yield* user_load32(u.m, start + 9 * PAGE), 0);
    t.equal(yield* sys_brk(u.m, start - 1), start + 10 * PAGE, 'below its start it stays');
  });
  t.end();
});

t.test('mremap moves pages with their contents, over what was there', (t) => {
  run(function* (u) {
    yield* u.map(0, 4);
    yield* u.map(20, 8);
    for (let i = 0; i < 4; i++) yield* u.store(i, 100 + i);
    yield* u.store(23, 1);
    t.equal(yield* u.move(0, 4, 22), BASE + 22 * PAGE);
    t.same(u.vmas(), ['20-22 rw', '22-26 rw', '26-28 rw']);
    for (let i = 0; i < 4; i++) t.equal(yield* u.load(22 + i), 100 + i);
    t.equal(yield* u.move(0, 1, 40), EFAULT, 'nothing there any more');
    t.equal(yield* u.move(22, 4, 24), EINVAL, 'the ranges overlap');
    t.equal(yield* u.move(20, 2, 50), BASE + 50 * PAGE);
    t.equal(yield* u.move(50, 2, 20), BASE + 20 * PAGE);
    t.same(u.vmas(), ['20-22 rw', '22-26 rw', '26-28 rw']);
  });
  t.end();
});

t.test('MREMAP_DONTUNMAP leaves an empty vma behind, which merges as if it had never been touched', (t) => {
  run(function* (u) {
    yield* u.map(0, 2);
    yield* u.store(0, 9);
    t.equal(yield* u.move(0, 2, 10, DONTUNMAP), BASE + 10 * PAGE);
    t.same(u.vmas(), ['0-2 rw', '10-12 rw']);
    t.equal(yield* u.load(0), 0);
    t.equal(yield* u.load(10), 9);
    yield* u.map(2, 1);
    t.same(u.vmas(), ['0-3 rw', '10-12 rw']);
  });
  t.end();
});

t.test('several vmas move at once and keep their gaps', (t) => {
  run(function* (u) {
    yield* u.map(0, 2);
    yield* u.map(4, 2, R);
    yield* u.store(1, 11);
    t.equal(yield* u.move(0, 6, 30), BASE + 30 * PAGE);
    t.same(u.vmas(), ['30-32 rw', '34-36 r']);
    t.equal(yield* u.load(31), 11);
  });
  t.end();
});

t.test('a move of whole page tables keeps every page', (t) => {
  run(function* (u) {
    yield* u.map(0, 1024);
    for (const page of [0, 511, 512, 1023]) yield* u.store(page, page + 1);
    const bytes = u.mm.pgtables_bytes;
    t.equal(yield* u.move(0, 1024, 4096), BASE + 4096 * PAGE);
    t.equal(u.mm.pgtables_bytes, bytes, 'the tables themselves moved');
    for (const page of [0, 511, 512, 1023]) t.equal(yield* u.load(4096 + page), page + 1);
  });
  t.end();
});

t.test('a child has its own copies, without the vmas that must not be copied or keep their contents', (t) => {
  run(function* (u) {
    const { m } = u;
    yield* u.map(0, 6);
    for (let i = 0; i < 6; i++) yield* u.store(i, 50 + i);
    yield* u.advise(2, 1, DONTFORK);
    yield* u.advise(4, 1, WIPEONFORK);
    const parent = u.mm;
    const child = yield* dup_mm(m, parent);
    if (child === null) throw new Error('fork failed');
    t.same(u.vmas(child), ['0-2 rw', '3-4 rw', '4-5 rw', '5-6 rw']);
    t.equal(child.rss_stat[1], parent.rss_stat[1] - 2);
    yield* u.store(0, 1);
    m.current.mm = child;
    t.equal(yield* u.load(0), 50);
    t.equal(yield* u.load(4), 0);
    yield* u.store(5, 2);
    m.current.mm = parent;
    t.equal(yield* u.load(5), 55);
    yield* mmput(m, child);
    t.same(u.vmas(), ['0-2 rw', '2-3 rw', '3-4 rw', '4-5 rw', '5-6 rw']);
  });
  t.end();
});

t.test('guard markers take the place of pages and go again, by themselves or with the vma', (t) => {
  run(function* (u) {
    yield* u.map(0, 4);
    yield* u.store(1, 3);
    t.equal(yield* u.advise(0, 3, GUARD), 0);
    t.equal(u.mm.rss_stat[1], 0);
    t.equal(yield* u.advise(0, 4, DONTNEED), 0);
    t.equal(yield* u.advise(1, 1, UNGUARD), 0);
    t.equal(yield* u.load(1), 0);
    const kinds: string[] = [];
    const ops: mm_walk_ops<null> = {
      *pte_entry(_m, pt, i) {
        kinds.push(pt.entry[i] === 0 ? 'empty' : pt.entry[i] % 2 === 1 ? 'page' : 'marker');
        return 0;
      },
      walk_lock: 0,
    };
    yield* mmap_read_lock(u.m, u.mm);
    yield* walk_page_range(u.m, u.mm, BASE, BASE + 4 * PAGE, ops, null);
    mmap_read_unlock(u.m, u.mm);
    t.same(kinds, ['marker', 'page', 'marker', 'empty']);
  });
  t.end();
});

t.test('MADV_DONTNEED of a whole page table gives the table back', (t) => {
  run(function* (u) {
    yield* u.map(0, 1024);
    yield* u.store(0, 1);
    yield* u.store(600, 1);
    const bytes = u.mm.pgtables_bytes;
    yield* u.advise(0, 512, DONTNEED);
    t.equal(u.mm.pgtables_bytes, bytes - PAGE);
    yield* u.advise(512, 511, DONTNEED);
    t.equal(u.mm.pgtables_bytes, bytes - PAGE, 'not for less');
    t.equal(yield* u.load(0), 0);
  });
  t.end();
});

t.test('a walk calls pte_hole where there is no table and outside of vmas', (t) => {
  run(function* (u) {
    const holes: string[] = [];
    const ops: mm_walk_ops<null> = {
      *pte_hole(_m, addr, next, depth, walk) {
        holes.push(
          `${(addr - BASE) / PAGE}-${(next - BASE) / PAGE} ${walk.vma === null ? 'no vma' : `depth ${depth}`}`,
        );
        return 0;
      },
      *pte_entry() {
        return 0;
      },
      walk_lock: 0,
    };
    yield* u.map(512, 1024);
    yield* u.store(512, 1);
    yield* mmap_read_lock(u.m, u.mm);
    yield* walk_page_range(u.m, u.mm, BASE, BASE + 2048 * PAGE, ops, null);
    mmap_read_unlock(u.m, u.mm);
    t.same(holes, ['0-512 no vma', '1024-1536 depth 3', '1536-2048 no vma']);
  });
  t.end();
});

t.test('a process that ends leaves no page, no table and no complaint behind', (t) => {
  const free_at_start = boot({ mem: 64 * MIB, thp: 'never' }).zone.nr_free;
  const m = run(function* (u) {
    yield* u.map(0, 2000);
    for (let i = 0; i < 2000; i += 7) yield* u.store(i, i);
    yield* u.map(3000, 10, RW, SHARED);
    yield* u.store(3001, 1);
    yield* u.protect(100, 50, R);
    yield* u.unmap(40, 3);
  });
  t.same(
    m.log.lines.filter((l) => l.startsWith('BUG') || l.startsWith('WARNING')),
    [],
  );
  t.equal(m.vm_committed_as, 0);
  t.ok(free_at_start - m.zone.nr_free < 64, `${free_at_start - m.zone.nr_free} pages are gone`);
  t.end();
});
