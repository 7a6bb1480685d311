// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { files_struct } from '../fs/fs.ts';
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '../mm/mmap/mmap.ts';
import { vm_mmap } from '../mm/util.ts';
import { alloc_task, task_entry, type UserCode } from './fork/fork.ts';
import { mm_alloc } from './fork/mm_init.ts';
import { Oops } from './printk.ts';
import type { task_struct } from './sched/core.ts';

/** Top of the stack, which is 132 KiB long. */
export const STACK_TOP = 0x7ffffffff000;
const STACK_SIZE = 132 * 1024;
/** Start of brk(2) memory of a program linked without address randomization. */
const START_BRK = 0x555555579000;

/**
 * Starts a process without a parent in a new address space that contains only a stack. User code is a generator, so
 * there is no image to load. The stack does not grow. NON-KERNEL (fs/exec.c: begin_new_exec()).
 */
export function start_process(m: Machine, comm: string, code: UserCode): task_struct {
  const t = alloc_task(m, comm);
  const mm = mm_alloc(m);
  if (mm === null) throw new Oops('Kernel panic - not syncing: no memory for the first process');
  mm.start_brk = START_BRK;
  mm.brk = START_BRK;
  t.mm = mm;
  t.files = new files_struct();
  m.sched.start(
    t,
    task_entry(m, function* () {
      yield* vm_mmap(
        m,
        null,
        STACK_TOP - STACK_SIZE,
        STACK_SIZE,
        PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS,
        0,
      );
      return yield* code();
    }),
  );
  return t;
}
