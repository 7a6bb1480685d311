// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../../arch/x86/entry/syscall_64.ts';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import { audit } from '../../audit.ts';
import { do_sys_open, ksys_close } from '../../fs/open.ts';
import { kernel_wait4 } from '../exit.ts';
import { sched_yield } from '../sched/syscalls.ts';
import { run_process, small_machine } from '../testing.ts';
import { kernel_clone } from './fork.ts';

const [PROT_RW, ANON_PRIVATE, ANON_SHARED] = [3, 0x22, 0x21];
const PAUSE = 34;
const [CHILD, THREAD] = [0, 0x10500];

t.test('a child has its own copy of private memory and shares shared memory', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      const own = yield* sys_mmap(m, 0, 4096, PROT_RW, ANON_PRIVATE, -1, 0);
      const both = yield* sys_mmap(m, 0, 4096, PROT_RW, ANON_SHARED, -1, 0);
      yield* user_store32(m, own, 1);
      yield* user_store32(m, both, 1);
      const fd = yield* do_sys_open(m, '/dev/null', 2, 0);
      const pid = yield* kernel_clone(m, CHILD, function* () {
        t.equal(yield* user_load32(m, own), 1);
        yield* user_store32(m, own, 2);
        yield* user_store32(m, both, 2);
        t.equal(yield* ksys_close(m, fd), 0);
        return 7;
      });
      t.same(yield* kernel_wait4(m, pid, 0), { pid, status: 7 << 8 });
      t.same([yield* user_load32(m, own), yield* user_load32(m, both)], [1, 2]);
      t.equal(yield* ksys_close(m, fd), 0, 'it closed its own');
    }),
    0,
  );
  t.same(audit(m), []);
  t.end();
});

t.test('threads share memory and descriptors', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      const p = yield* sys_mmap(m, 0, 4096, PROT_RW, ANON_PRIVATE, -1, 0);
      const process = m.current;
      let fd = -1;
      let done = false;
      yield* kernel_clone(m, THREAD, function* () {
        t.equal(m.current.tgid, process.pid);
        t.not(m.current.pid, process.pid);
        yield* user_store32(m, p, 42);
        fd = yield* do_sys_open(m, '/dev/null', 2, 0);
        done = true;
      });
      while (!done) yield* sched_yield(m);
      t.equal(yield* user_load32(m, p), 42);
      t.equal(yield* ksys_close(m, fd), 0);
    }),
    0,
  );
  t.same(audit(m), []);
  t.end();
});

t.test('an access outside of any mapping kills the process with SIGSEGV', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      yield* kernel_clone(m, THREAD, function* () {
        yield* user_load32(m, 0x1000);
      });
      for (;;) yield* do_syscall_64(m, PAUSE);
    }),
    11,
    'whichever thread it was',
  );
  t.same(audit(m), []);
  t.end();
});
