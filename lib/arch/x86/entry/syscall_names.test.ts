// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { run_process, small_machine } from '../../../kernel/testing.ts';
import { do_syscall_64 } from './syscall_64.ts';
import { syscall_name } from './syscall_names.ts';

const ENOSYS = 38;

/** The numbers below 480 that a Linux 7.3.4 of the recorded configuration answered with -ENOSYS, first and last. */
const LACKING = [
  [29, 31],
  [64, 71],
  [134, 134],
  [139, 139],
  [154, 154],
  [156, 156],
  [163, 163],
  [172, 174],
  [177, 185],
  [205, 205],
  [211, 212],
  [214, 215],
  [220, 220],
  [236, 246],
  [248, 250],
  [253, 256],
  [279, 279],
  [283, 283],
  [286, 287],
  [294, 294],
  [300, 301],
  [303, 304],
  [312, 312],
  [317, 317],
  [320, 321],
  [335, 423],
  [425, 427],
  [443, 447],
  [450, 451],
  [453, 453],
  [459, 461],
  [471, 471],
  [473, 479],
] as const;

const lacks = (nr: number): boolean => LACKING.some(([first, last]) => nr >= first && nr <= last);

t.test('what the recorded kernel lacks is -ENOSYS, and nothing else is', (t) => {
  const m = small_machine();
  run_process(m, function* () {
    for (let nr = 0; nr < 480; nr++) {
      if (lacks(nr)) t.equal(yield* do_syscall_64(m, nr), -ENOSYS, `${nr}`);
      else t.type(syscall_name(nr), 'string', `${nr}`);
    }
    t.equal(yield* do_syscall_64(m, 9999), -ENOSYS);
    t.equal(yield* do_syscall_64(m, -1), -ENOSYS);
  });
  t.end();
});

t.test('a system call that only the model lacks ends the run with its name', (t) => {
  for (const [nr, name] of [
    [26, 'msync'],
    [101, 'ptrace'],
    [149, 'mlock'],
    [325, 'mlock2'],
    [440, 'process_madvise'],
  ] as const) {
    const m = small_machine();
    t.throws(
      () =>
        run_process(m, function* () {
          yield* do_syscall_64(m, nr);
        }),
      { name: 'Unmodelled', message: `not modelled: system call ${name}` },
    );
  }
  t.end();
});
