// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import type { Machine } from '../../../machine.ts';
import { start_process } from '../../../kernel/exec.ts';
import type { Gen } from '../../../kernel/gen.ts';
import { small_machine } from '../../../kernel/testing.ts';
import { get_unmapped_area } from '../../../mm/mmap/unmapped_area.ts';
import { sys_mmap } from './sys_x86_64.ts';

const PAGE = 4096;
/** Where mappings go down from, and a place a gigabyte below that is free in a new process. */
const LOW = 0x7fffb8000000;
const ENOMEM = -12;
const NONE = 0;
const [PRIVATE, FIXED, ANON, BIT32, NORESERVE] = [2, 0x10, 0x20, 0x40, 0x4000];

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

t.test('MAP_32BIT means the second gigabyte, from its start up, with the wish rounded up', (t) => {
  run(function* (find, take) {
    const flags = PRIVATE | ANON | BIT32;
    t.equal(find(0, PAGE, flags), 0x40000000);
    yield* take(0x40000000, 0x40003000);
    yield* take(0x40004000, 0x40006000);
    t.equal(find(0, PAGE, flags), 0x40003000);
    t.equal(find(0, 2 * PAGE, flags), 0x40006000);
    t.equal(find(0x50000001, PAGE, flags), 0x50001000);
    t.equal(find(LOW, PAGE, flags), 0x40003000, 'a wish above it counts for nothing');
    t.equal(find(0, 0x40000000, flags), ENOMEM);
    t.equal(find(0, 0x80001000, flags), ENOMEM);
  });
  t.end();
});
