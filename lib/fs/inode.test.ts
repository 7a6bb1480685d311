// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { run_task, small_machine } from '../kernel/testing.ts';
import { files_struct } from './fs.ts';
import { iput, new_inode } from './inode.ts';

function run(body: (m: Machine) => Gen<void>): void {
  const m = small_machine();
  run_task(m, function* () {
    m.current.files = new files_struct();
    yield* body(m);
  });
  t.same(m.log.warnings, []);
}

t.test('an inode goes with its last reference, if no name is left', (t) => {
  run(function* (m) {
    let evicted = 0;
    const node = new_inode(m);
    node.evict_inode = function* (): Gen<void> {
      evicted++;
    };
    node.i_nlink = 1;
    node.i_count = 2;
    yield* iput(m, node);
    yield* iput(m, node);
    t.equal(evicted, 0, 'it has a name');
    node.i_count = 1;
    node.i_nlink = 0;
    yield* iput(m, node);
    t.equal(evicted, 1);
    t.throws(() => iput(m, node).next(), /iput\(\) of an inode without references/);
  });
  t.end();
});
