// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { kernel_clone } from './fork/fork.ts';
import { sys_setpgid } from './sys.ts';
import { run_clean, small_machine } from './testing.ts';

t.test('a process becomes the leader of a group of its own, named by 0 or by its number', (t) => {
  run_clean(t, small_machine(), function* (m) {
    yield* kernel_clone(m, 0, function* () {
      const pid = m.current.tgid;
      t.not(m.current.pgid, pid, 'a child starts in the group of its parent');
      t.equal(sys_setpgid(m, 0, 0), 0);
      t.equal(m.current.pgid, pid);
      t.equal(sys_setpgid(m, pid, pid), 0);
      t.throws(() => sys_setpgid(m, pid + 1, 0), { name: 'Unmodelled' });
      t.throws(() => sys_setpgid(m, 0, pid + 1), { name: 'Unmodelled' });
    });
  });
  t.end();
});
