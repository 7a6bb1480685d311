// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../arch/x86/entry/syscall_64.ts';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_store32, user_store64 } from '../arch/x86/mm/uaccess.ts';
import { audit } from '../audit.ts';
import { do_eventfd } from '../fs/eventfd.ts';
import { ksys_read, ksys_write } from '../fs/read_write.ts';
import { kernel_wait4 } from '../kernel/exit.ts';
import { kernel_clone } from '../kernel/fork/fork.ts';
import { sys_pidfd_open } from '../kernel/pid.ts';
import { sys_kill } from '../kernel/signal.ts';
import { run_process, small_machine } from '../kernel/testing.ts';
import { MM_ANONPAGES, MM_SHMEMPAGES, type mm_struct, MMF_UNSTABLE } from './mm_types.ts';
import { process_mrelease } from './oom_kill.ts';

const PAGE = 4096;
const BUF = 0x7ffffffff000 - PAGE;
const [RW, SHARED, PRIVATE, ANON] = [3, 1, 2, 0x20];
const [ESRCH, EBADF, EINVAL] = [-3, -9, -22];
const SIGKILL = 9;
const PAUSE = 34;

t.test("the private memory of a process that was killed is taken before it goes, and nobody else's", (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      yield* user_store64(m, BUF, 1);
      const ready = do_eventfd(m, 0, 0);
      const pid = yield* kernel_clone(m, 0, function* () {
        const ptr = yield* sys_mmap(m, 0, 4 * PAGE, RW, PRIVATE | ANON, -1, 0);
        const shared = yield* sys_mmap(m, 0, PAGE, RW, SHARED | ANON, -1, 0);
        for (let i = 0; i < 4; i++) yield* user_store32(m, ptr + i * PAGE, 1);
        yield* user_store32(m, shared, 1);
        yield* ksys_write(m, ready, BUF, 8);
        yield* do_syscall_64(m, PAUSE);
      });
      yield* ksys_read(m, ready, BUF, 8);
      const victim = m.sched.tasks.find((x) => x.pid === pid)?.mm as mm_struct;
      const pidfd = sys_pidfd_open(m, pid, 0);
      t.equal(yield* process_mrelease(m, pidfd, 0), EINVAL, 'it lives on');
      t.equal(yield* process_mrelease(m, pidfd, 1), EINVAL, 'there are no flags');
      t.equal(yield* process_mrelease(m, 99, 0), EBADF);
      t.equal(yield* process_mrelease(m, ready, 0), EBADF);
      t.equal(victim.flags & MMF_UNSTABLE, 0);
      t.equal(sys_kill(m, pid, SIGKILL), 0);
      t.equal(yield* process_mrelease(m, pidfd, 0), 0);
      t.equal(victim.flags & MMF_UNSTABLE, MMF_UNSTABLE);
      t.equal(victim.rss_stat[MM_ANONPAGES], 0);
      t.equal(victim.rss_stat[MM_SHMEMPAGES], 1, 'what others may share stays');
      yield* kernel_wait4(m, pid, 0);
      t.equal(yield* process_mrelease(m, pidfd, 0), ESRCH);
    }),
    0,
  );
  t.same(audit(m), []);
  t.end();
});
