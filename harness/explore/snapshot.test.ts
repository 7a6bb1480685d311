// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { race_cases } from '../../selftests/races/index.ts';
import { RandomChooser } from './choosers.ts';
import { run_on } from './engine.ts';
import { Snapshot } from './snapshot.ts';
import { Stage } from './stage.ts';

for (const name of ['fault-vs-fork', 'release-vs-fault', 'thp-fault-vs-munmap', 'uffd-vs-munmap']) {
  t.test(`after ${name} every struct page and all of memory is back where it was`, async (t) => {
    const c = race_cases.find((x) => x.name === name)!;
    const stage = new Stage(c, []).keep();
    const m = stage.reset();
    const snapshot = new Snapshot(m);
    const free = m.zone.nr_free;
    const pids = m.next_pid;
    let used = 0;
    for (let seed = 1; seed <= 5; seed++) {
      const run = run_on(stage, c, seed, () => new RandomChooser(seed));
      t.equal(run.failure, null);
      used += snapshot.changed_rows().length;
      stage.reset();
      t.same(snapshot.changed_rows(), []);
      t.equal(m.zone.nr_free, free);
      t.equal(m.next_pid, pids);
      t.equal(m.mms.size, 0);
      t.equal(m.sched.tasks.length, 0);
    }
    t.ok(used > 0, 'runs leave pages otherwise than they were');
  });
}

t.test('a machine with a task that has not ended cannot be kept', async (t) => {
  const stage = new Stage({ params: null }, []);
  const m = stage.reset();
  const task: Generator<never, void, void> = (function* () {})();
  (m as unknown as { live: unknown }).live = task;
  t.throws(() => stage.keep(), /live task/);
});
