// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_store32 } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { run_clean, small_machine } from '../kernel/testing.ts';
import { sys_madvise } from './madvise/madvise.ts';
import { sys_munmap } from './mmap/mmap.ts';
import type { mm_struct } from './mm_types.ts';
import { sys_mprotect } from './mprotect.ts';
import { sys_mremap } from './mremap/mremap.ts';
import { sys_mseal } from './mseal.ts';
import { map_anon } from './testing.ts';

const PAGE = 4096;
const MAP = 0x200000000;
const [READ, RW] = [1, 3];
const SEALED = 1 << 24;
const [DONTNEED, FREE, HUGEPAGE, DONTFORK] = [4, 8, 14, 10];
const [EPERM, ENOMEM, EINVAL] = [-1, -12, -22];

function run(body: (m: Machine) => Gen<void>): void {
  run_clean(t, small_machine(), body);
}

/** The vmas from MAP on: pages, and whether they are sealed. */
function vmas(m: Machine): (number | boolean)[][] {
  return (m.current.mm as mm_struct).mm_mt
    .filter((v) => v.vm_start >= MAP && v.vm_end <= MAP + 16 * PAGE)
    .map((v) => [(v.vm_end - v.vm_start) / PAGE, (v.vm_flags & SEALED) !== 0]);
}

t.test('arguments and holes', (t) => {
  run(function* (m) {
    yield* map_anon(m, MAP, 2);
    yield* map_anon(m, MAP + 3 * PAGE, 1);
    t.equal(yield* sys_mseal(m, MAP, PAGE, 1), EINVAL, 'flags');
    t.equal(yield* sys_mseal(m, MAP + 1, PAGE, 0), EINVAL);
    t.equal(yield* sys_mseal(m, MAP, 2 ** 64 - 1, 0), EINVAL);
    t.equal(yield* sys_mseal(m, 2 ** 64 - PAGE, PAGE, 0), EINVAL);
    t.equal(yield* sys_mseal(m, MAP, 0, 0), 0);
    t.equal(yield* sys_mseal(m, MAP, 4 * PAGE, 0), ENOMEM, 'a hole within');
    t.equal(yield* sys_mseal(m, MAP - PAGE, 2 * PAGE, 0), ENOMEM, 'a hole before');
    t.equal(yield* sys_mseal(m, MAP + 3 * PAGE, 2 * PAGE, 0), ENOMEM, 'a hole behind');
    t.same(vmas(m), [
      [2, false],
      [1, false],
    ]);
    t.equal(yield* sys_mseal(m, MAP + PAGE, 1, 0), 0);
    t.same(vmas(m), [
      [1, false],
      [1, true],
      [1, false],
    ]);
  });
  t.end();
});

t.test('a sealed range is not unmapped, mapped over, protected or moved', (t) => {
  run(function* (m) {
    yield* map_anon(m, MAP, 6);
    t.equal(yield* sys_mseal(m, MAP + 2 * PAGE, 2 * PAGE, 0), 0);
    t.equal(yield* sys_mseal(m, MAP + 2 * PAGE, 2 * PAGE, 0), 0, 'twice');
    t.equal(yield* sys_munmap(m, MAP + 3 * PAGE, PAGE), EPERM);
    t.equal(yield* sys_munmap(m, MAP, 3 * PAGE), EPERM);
    t.equal(yield* map_anon(m, MAP + PAGE, 2), EPERM);
    t.equal(yield* sys_mprotect(m, MAP + 2 * PAGE, PAGE, READ), EPERM);
    t.equal(yield* sys_mprotect(m, MAP + 2 * PAGE, PAGE, RW), EPERM, 'also to what it is');
    t.equal(yield* sys_mremap(m, MAP + 2 * PAGE, 2 * PAGE, PAGE, 0, 0), EPERM);
    t.equal(yield* sys_mremap(m, MAP + 2 * PAGE, 2 * PAGE, 4 * PAGE, 1, 0), EPERM);
    t.same(
      vmas(m),
      [
        [1, false],
        [1, false],
        [2, true],
        [2, false],
      ],
      'what mmap(2) split stays apart',
    );
    t.equal(yield* sys_mprotect(m, MAP, 3 * PAGE, READ), EPERM);
    t.equal(yield* sys_munmap(m, MAP, 2 * PAGE), 0, 'the pages before');
    t.equal(yield* sys_mseal(m, MAP + 2 * PAGE, 4 * PAGE, 0), 0);
    t.same(vmas(m), [[4, true]], 'sealed neighbours merge');
  });
  t.end();
});

t.test('what a sealed range holds is dropped only by whom may write to it', (t) => {
  run(function* (m) {
    yield* map_anon(m, MAP, 2);
    yield* user_store32(m, MAP, 1);
    yield* sys_mprotect(m, MAP + PAGE, PAGE, READ);
    t.equal(yield* sys_mseal(m, MAP, 2 * PAGE, 0), 0);
    t.equal(yield* sys_madvise(m, MAP, PAGE, DONTNEED), 0);
    for (const advice of [DONTNEED, FREE, DONTFORK]) t.equal(yield* sys_madvise(m, MAP + PAGE, PAGE, advice), EPERM);
    t.equal(yield* sys_madvise(m, MAP + PAGE, PAGE, HUGEPAGE), 0);
  });
  t.end();
});
