// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { run_task, small_machine } from '../testing.ts';
import { schedule_timeout } from '../time/sleep_timeout.ts';
import { spin_lock, spin_lock_leaf, spin_trylock, spin_unlock, spinlock } from './spinlock.ts';

t.test('sleeping with a spinlock held is an oops, and so is taking it twice', (t) => {
  const m = small_machine();
  run_task(m, function* () {
    yield* spin_lock(m, new spinlock('ptl'));
    yield* schedule_timeout(m, 100, 2);
  });
  t.match(m.log.oopses[0]?.bug, /scheduling while atomic/);
  run_task(m, function* () {
    const lock = new spinlock('ptl');
    yield* spin_lock(m, lock);
    t.notOk(spin_trylock(m, lock));
    t.throws(() => spin_lock_leaf(m, lock), /recursion/);
    spin_unlock(m, lock);
    t.ok(spin_trylock(m, lock));
    spin_unlock(m, lock);
  });
  t.equal(m.log.oopses.length, 1);
  t.end();
});
