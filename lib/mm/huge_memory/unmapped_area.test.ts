// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import type { Machine } from '../../machine.ts';
import { start_process } from '../../kernel/exec.ts';
import type { Gen } from '../../kernel/gen.ts';
import { small_machine } from '../../kernel/testing.ts';
import { get_unmapped_area } from '../mmap/unmapped_area.ts';
import { thp_get_unmapped_area } from './unmapped_area.ts';

const [PAGE, HUGE] = [4096, 2 * 1024 * 1024];
/** Where mappings go down from, and a place a gigabyte below that is free in a new process. */
const [TOP, LOW] = [0x7ffff7fff000, 0x7fffb8000000];
const STACK = 0x7ffffffde000;
const NONE = 0;
const [SHARED, PRIVATE, FIXED, ANON, NORESERVE] = [1, 2, 0x10, 0x20, 0x4000];

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

t.test('whole huge pages are aligned to such if there is room, and with a file offset to it', (t) => {
  run(function* (find, take, m) {
    t.equal(find(0, HUGE), 0x7ffff7c00000);
    t.equal(find(0, HUGE + PAGE), TOP - HUGE - PAGE, 'not what ends within one');
    t.equal(find(LOW + PAGE, HUGE), LOW + PAGE, 'not where there is a wish');
    t.equal(find(0, HUGE, SHARED | ANON), TOP - HUGE, 'not shared memory, which has no huge pages here');
    t.equal(thp_get_unmapped_area(m, null, 0, 2 * HUGE, 3, PRIVATE | ANON) % HUGE, 3 * PAGE);
    t.equal(thp_get_unmapped_area(m, null, 0, HUGE, 3, PRIVATE | ANON), TOP - HUGE, 'no whole huge page in the range');
    yield* take(0x20000, TOP - HUGE - PAGE);
    t.equal(find(0, HUGE), 0x7ffff7e00000, 'below there is no room to choose, so above');
    yield* take(TOP, STACK);
    t.equal(find(0, HUGE), TOP - HUGE, 'nor there');
  });
  t.end();
});
