// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64, NR } from './arch/x86/entry/syscall_64.ts';
import { run_process, small_machine } from './kernel/testing.ts';
import { Unmodelled } from './unmodelled.ts';

t.test(
  'a path that the model lacks ends the run with its upstream name, whatever the process does about errors',
  (t) => {
    const m = small_machine();
    const MAP_DROPPABLE_ANON = 0x28;
    let went_on = false;
    t.throws(
      () =>
        run_process(m, function* () {
          yield* do_syscall_64(m, NR.mmap, 0x200000000, 4096, 3, MAP_DROPPABLE_ANON, -1, 0);
          went_on = true;
        }),
      { name: 'Unmodelled', message: /^not modelled: / },
    );
    t.notOk(went_on, "it is no errno that a program could take for Linux's");
    t.same(m.log.oopses, [], 'and no fault of the kernel');
    t.end();
  },
);

t.test('it is told from every error that the kernel itself throws', (t) => {
  const e = new Unmodelled('mm/x.c: f()');
  t.ok(e instanceof Error);
  t.equal(e.name, 'Unmodelled');
  t.equal(e.message, 'not modelled: mm/x.c: f()');
  t.end();
});
