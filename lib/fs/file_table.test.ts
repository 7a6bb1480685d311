// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { task_work_run } from '../kernel/task_work.ts';
import { run_task, small_machine } from '../kernel/testing.ts';
import { close_fd, fd_install, fget, get_unused_fd_flags } from './file.ts';
import { alloc_file, fput, fput_close_sync } from './file_table.ts';
import { type file, files_struct } from './fs.ts';
import { new_inode } from './inode.ts';
import { ksys_close } from './open.ts';

const EBADF = -9;

/** A file that writes its name down when it is closed. */
function named(m: Machine, name: string, closed: string[]): file {
  const node = new_inode(m);
  const f = alloc_file(m, node, name, 2, {
    *release(): Gen<number> {
      closed.push(name);
      return 0;
    },
  });
  node.i_count--;
  return f;
}

function run(body: (m: Machine) => Gen<void>): void {
  const m = small_machine();
  run_task(m, function* () {
    m.current.files = new files_struct();
    yield* body(m);
  });
  t.same(m.log.warnings, []);
}

t.test('the last reference closes a file: close(2) at once, kernel code on the way out', (t) => {
  run(function* (m) {
    const closed: string[] = [];
    const a = named(m, 'a', closed);
    fd_install(m, get_unused_fd_flags(m, 0), a);
    t.equal(fget(m, 0), a);
    t.equal(a.f_count, 2);
    t.equal(yield* ksys_close(m, 0), 0);
    t.same(closed, [], 'fget() still has it');
    fput(m, a);
    t.same(closed, []);
    yield* task_work_run(m);
    t.same(closed, ['a']);
    t.throws(() => fput(m, a), /without references/);

    fd_install(m, get_unused_fd_flags(m, 0), named(m, 'b', closed));
    t.equal(close_fd(m, 0), 0);
    t.equal(close_fd(m, 0), EBADF);
    fd_install(m, get_unused_fd_flags(m, 0), named(m, 'c', closed));
    t.equal(yield* ksys_close(m, 0), 0);
    t.same(closed, ['a', 'c']);
    yield* task_work_run(m);
    t.same(closed, ['a', 'c', 'b']);
    yield* fput_close_sync(m, named(m, 'd', closed));
    t.equal(closed[3], 'd');
    t.equal(yield* ksys_close(m, 0), EBADF);
  });
  t.end();
});
