// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import type { Machine } from '../../machine.ts';
import { start_process } from '../../kernel/exec.ts';
import type { Gen } from '../../kernel/gen.ts';
import { small_machine } from '../../kernel/testing.ts';
import type { mm_struct } from '../mm_types.ts';
import { find_vma } from '../mmap/find_vma.ts';
import { sys_munmap } from '../mmap/mmap.ts';
import { get_unmapped_area, vm_start_gap } from '../mmap/unmapped_area.ts';

const PAGE = 4096;
/** Where mappings go down from, and a place a gigabyte below that is free in a new process. */
const TOP = 0x7ffff7fff000;
const STACK = 0x7ffffffde000;
const ENOMEM = -12;
const [NONE, RW] = [0, 3];
const [PRIVATE, FIXED, ANON, BIT32, GROWSDOWN, NORESERVE, ABOVE4G] = [2, 0x10, 0x20, 0x40, 0x100, 0x4000, 0x80];

/** Runs the body as a process; `find` asks for a free range, `take` maps one without a choice. */
function run(
  body: (
    find: (addr: number, len: number, flags?: number, pgoff?: number) => number,
    take: (from: number, to: number, more?: number) => Gen<void>,
    m: Machine,
  ) => Gen<void>,
): void {
  const m = small_machine();
  let done = false;
  start_process(m, 'test', function* () {
    yield* body(
      (addr, len, flags = PRIVATE | ANON, pgoff = 0) => get_unmapped_area(m, null, addr, len, pgoff, flags),
      function* (from, to, more = 0) {
        t.equal(yield* sys_mmap(m, from, to - from, NONE, PRIVATE | ANON | FIXED | NORESERVE | more, -1, 0), from);
      },
      m,
    );
    done = true;
  });
  m.sched.run(() => m.sched.tasks.length === 0);
  t.ok(done);
}

t.test('without a wish the highest gap that is long enough is chosen, and the range lies at its end', (t) => {
  run(function* (find, take) {
    t.equal(find(0, PAGE), TOP - PAGE);
    yield* take(TOP - 4 * PAGE, TOP);
    yield* take(TOP - 8 * PAGE, TOP - 6 * PAGE);
    t.equal(find(0, 2 * PAGE), TOP - 6 * PAGE, 'a gap that fits exactly');
    t.equal(find(0, 3 * PAGE), TOP - 11 * PAGE);
    t.equal(find(0, 2 * PAGE, PRIVATE | ANON | ABOVE4G), TOP - 6 * PAGE);
  });
  t.end();
});

t.test('where nothing is left below, the search goes up instead, and ends below 64 KiB and at the stack', (t) => {
  run(function* (find, take, m) {
    yield* take(0x20000, TOP);
    t.equal(find(0, 16 * PAGE), 0x10000);
    t.equal(find(0, 17 * PAGE), TOP);
    t.equal(find(0, STACK - TOP), TOP);
    t.equal(find(0, STACK - TOP + PAGE), ENOMEM);
    t.equal(yield* sys_mmap(m, 0, STACK - TOP + PAGE, RW, PRIVATE | ANON | NORESERVE, -1, 0), ENOMEM);
    yield* sys_munmap(m, 0x555555554000, 0x10000);
    t.equal(find(0, 16 * PAGE), 0x555555554000);
  });
  t.end();
});

t.test('below a mapping that grows down a megabyte stays free', (t) => {
  run(function* (find, take, m) {
    yield* take(TOP - 512 * PAGE, TOP - 510 * PAGE, GROWSDOWN);
    yield* take(TOP - 510 * PAGE, TOP);
    const vma = find_vma(m.current.mm as mm_struct, TOP - 512 * PAGE);
    if (vma === null) throw new Error('no vma');
    t.equal(vm_start_gap(vma), TOP - 768 * PAGE);
    t.equal(find(0, PAGE), TOP - 769 * PAGE);
    t.equal(find(TOP - 768 * PAGE, PAGE), TOP - 769 * PAGE, 'a wish does not get in either');
    t.equal(find(TOP - 700 * PAGE, PAGE, PRIVATE | ANON | FIXED), TOP - 700 * PAGE, 'who insists does');
    yield* take(0x40001000, 0x40002000, GROWSDOWN);
    t.equal(find(0, PAGE, PRIVATE | ANON | BIT32), 0x40002000);
  });
  t.end();
});
