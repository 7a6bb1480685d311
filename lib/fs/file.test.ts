// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import type { Machine } from '../machine.ts';
import { start_process } from '../kernel/exec.ts';
import { kernel_wait4 } from '../kernel/exit.ts';
import { kernel_clone } from '../kernel/fork/fork.ts';
import type { Gen } from '../kernel/gen.ts';
import { task_work_run } from '../kernel/task_work.ts';
import { run_task, small_machine } from '../kernel/testing.ts';
import {
  close_fd,
  dup_fd,
  exit_files,
  fd_install,
  fget,
  get_unused_fd_flags,
  put_files_struct,
  put_unused_fd,
} from './file.ts';
import { alloc_file, eintr } from './file_table.ts';
import { type file, files_struct } from './fs.ts';
import { new_inode } from './inode.ts';
import { ksys_close } from './open.ts';

const [O_CLOEXEC, EBADF, EMFILE] = [0o2000000, -9, -24];

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

t.test('the lowest free number is taken, a reserved one is not open, and CLOEXEC goes with the number', (t) => {
  run(function* (m) {
    t.same([get_unused_fd_flags(m, 0), get_unused_fd_flags(m, O_CLOEXEC), get_unused_fd_flags(m, 0)], [0, 1, 2]);
    t.equal(fget(m, 1), null);
    t.equal(close_fd(m, 1), EBADF);
    const files = m.current.files as files_struct;
    t.same([...files.close_on_exec], [1]);
    put_unused_fd(m, 1);
    t.equal(get_unused_fd_flags(m, 0), 1);
    t.same([...files.close_on_exec], [], 'the next user of the number did not ask for it');
    for (let fd = 3; fd < 1024; fd++) get_unused_fd_flags(m, 0);
    t.equal(get_unused_fd_flags(m, 0), EMFILE);
  });
  t.end();
});

t.test('a copied table shares open files, and leaves out what is only reserved', (t) => {
  run(function* (m) {
    const closed: string[] = [];
    const old = m.current.files as files_struct;
    const f = named(m, 'f', closed);
    get_unused_fd_flags(m, 0);
    fd_install(m, get_unused_fd_flags(m, O_CLOEXEC), f);
    const copy = dup_fd(m, old);
    t.same([...copy.open_fds, ...copy.close_on_exec], [1, 1]);
    t.equal(copy.fd[1], f);
    t.equal(f.f_count, 2);
    put_files_struct(m, copy);
    yield* task_work_run(m);
    t.same(closed, []);
    old.count++;
    put_files_struct(m, old);
    t.equal(old.fd[1], f, 'a second task has the table');
    exit_files(m, m.current);
    t.equal(m.current.files, null);
    exit_files(m, m.current);
    yield* task_work_run(m);
    t.same(closed, ['f']);
  });
  t.end();
});

t.test('exit closes files in the order of their numbers, a child with its copy closes nothing', (t) => {
  const m = small_machine();
  const closed: string[] = [];
  start_process(m, 'test', function* () {
    for (const name of ['a', 'b', 'c']) fd_install(m, get_unused_fd_flags(m, 0), named(m, name, closed));
    const pid = yield* kernel_clone(m, 0, function* () {
      t.equal(yield* ksys_close(m, 1), 0);
    });
    yield* kernel_wait4(m, pid, 0);
    t.same(closed, []);
  });
  m.sched.run(() => m.sched.tasks.length === 0);
  t.same(closed, ['a', 'b', 'c']);
  t.equal(eintr(-512), -4, 'user space does not know ERESTARTSYS');
  t.equal(eintr(-9), -9);
  t.end();
});
