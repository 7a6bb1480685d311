// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import type { Machine } from '../../machine.ts';
import { start_process } from '../../kernel/exec.ts';
import type { Gen } from '../../kernel/gen.ts';
import { small_machine } from '../../kernel/testing.ts';
import { get_unmapped_area } from './unmapped_area.ts';

const [PAGE, TASK_SIZE] = [4096, 0x7ffffffff000];
/** Where mappings go down from, and a place a gigabyte below that is free in a new process. */
const [TOP, LOW] = [0x7ffff7fff000, 0x7fffb8000000];
const [ENOMEM, EINVAL] = [-12, -22];
const NONE = 0;
const [PRIVATE, FIXED, ANON, NORESERVE] = [2, 0x10, 0x20, 0x4000];

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

t.test('a wish is granted, rounded down, if the range is free; MAP_FIXED asks for no room', (t) => {
  run(function* (find, take) {
    yield* take(LOW, LOW + 4 * PAGE);
    t.equal(find(LOW - 2 * PAGE, 2 * PAGE), LOW - 2 * PAGE);
    t.equal(find(LOW + 4 * PAGE + 123, PAGE), LOW + 4 * PAGE);
    t.equal(find(LOW - PAGE, 2 * PAGE), TOP - 2 * PAGE, 'half of it is taken');
    t.equal(find(TASK_SIZE - PAGE, 2 * PAGE), TOP - 2 * PAGE, 'beyond user space');
    t.equal(find(LOW, 2 * PAGE, PRIVATE | ANON | FIXED), LOW);
    t.equal(find(LOW + 1, PAGE, PRIVATE | ANON | FIXED), EINVAL);
    t.equal(find(TASK_SIZE, PAGE, PRIVATE | ANON | FIXED), ENOMEM);
    t.equal(find(TASK_SIZE - PAGE, PAGE, PRIVATE | ANON | FIXED), TASK_SIZE - PAGE);
    t.equal(find(0, TASK_SIZE + PAGE), ENOMEM);
  });
  t.end();
});
