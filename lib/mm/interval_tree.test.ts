// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../arch/x86/entry/syscall_64.ts';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import type { address_space } from '../fs/fs.ts';
import { kernel_wait4 } from '../kernel/exit.ts';
import { kernel_clone } from '../kernel/fork/fork.ts';
import { run_clean, small_machine } from '../kernel/testing.ts';
import { vma_of } from './testing.ts';
import { mapping_rmap_tree_foreach } from './vma/vma.ts';

const [PAGE, BASE, RW, SHARED_ANON_FIXED] = [4096, 0x200000000, 3, 0x31];
const [KILL, PAUSE, MUNMAP, SIGKILL] = [62, 34, 11, 9];

t.test("a walk of a file's mappings visits a forked child right after its parent: the youngest first", (t) => {
  run_clean(t, small_machine(), function* (m, mm) {
    yield* sys_mmap(m, BASE, 4 * PAGE, RW, SHARED_ANON_FIXED, -1, 0);
    const mapping = vma_of(mm, BASE).vm_file?.f_mapping as address_space;
    const pids: number[] = [m.current.pid];
    for (let n = 0; n < 3; n++) {
      const pid = yield* kernel_clone(m, 0, function* () {
        yield* do_syscall_64(m, PAUSE);
      });
      pids.push(pid);
    }
    const [parent, first, second, third] = pids;
    const visited = (index: number): (number | undefined)[] =>
      mapping_rmap_tree_foreach(mapping, index, index).map(
        (vma) => m.sched.tasks.find((task) => task.mm === vma.vm_mm)?.pid,
      );
    t.same(visited(2), [parent, third, second, first]);

    yield* do_syscall_64(m, MUNMAP, BASE + PAGE, PAGE);
    t.same(visited(1), [third, second, first], 'a hole in the parent');
    t.same(visited(0), [third, second, first, parent], 'a vma that changes goes behind its equals');
    t.same(visited(2), [third, second, first, parent], 'by start');

    for (const pid of pids.slice(1)) {
      yield* do_syscall_64(m, KILL, pid, SIGKILL);
      yield* kernel_wait4(m, pid, 0);
    }
    t.same(visited(0), [parent]);
  });
  t.end();
});
