// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { runProgram } from '../../harness/libc.ts';
import * as U from '../../harness/uapi.ts';
import { audit } from '../audit.ts';
import { boot } from '../boot.ts';
import { EBADF, EINVAL, ESRCH } from '../errno.ts';
import type { mm_struct } from './mm_types.ts';
import { MMF_UNSTABLE, MM_ANONPAGES, MM_SHMEMPAGES } from './mm_types.ts';
import { process_mrelease } from './oom_kill.ts';

const PAGE = 4096;

t.test('the private memory of a process that was killed is taken before it goes, and nobody else\'s', (t) => {
  const m = boot({ mem: 128 * 1024 * 1024 });
  const status = runProgram(m, function* (c) {
    const buf = yield* c.malloc(8);
    yield* c.store64(buf, 1);
    const ready = yield* c.eventfd(0, U.EFD_CLOEXEC);
    const pid = yield* c.fork(function* (v) {
      const ptr = yield* v.mmap(0, 4 * PAGE, U.PROT_READ | U.PROT_WRITE, U.MAP_PRIVATE | U.MAP_ANONYMOUS, -1, 0);
      const shared = yield* v.mmap(0, PAGE, U.PROT_READ | U.PROT_WRITE, U.MAP_SHARED | U.MAP_ANONYMOUS, -1, 0);
      for (let i = 0; i < 4; i++) yield* v.store32(ptr + i * PAGE, 1);
      yield* v.store32(shared, 1);
      yield* v.write(ready, buf, 8);
      yield* v.pause();
    });
    yield* c.read(ready, buf, 8);
    const victim = m.sched.tasks.find((x) => x.pid === pid)?.mm as mm_struct;
    const pidfd = yield* c.pidfd_open(pid, 0);
    t.equal(yield* process_mrelease(m, pidfd, 0), -EINVAL, 'it lives on');
    t.equal(yield* process_mrelease(m, pidfd, 1), -EINVAL, 'there are no flags');
    t.equal(yield* process_mrelease(m, 99, 0), -EBADF);
    t.equal(yield* process_mrelease(m, ready, 0), -EBADF);
    t.equal(victim.flags & MMF_UNSTABLE, 0);
    yield* c.kill(pid, U.SIGKILL);
    t.equal(yield* process_mrelease(m, pidfd, 0), 0);
    t.equal(victim.flags & MMF_UNSTABLE, MMF_UNSTABLE);
    t.equal(victim.rss_stat[MM_ANONPAGES], 0);
    t.equal(victim.rss_stat[MM_SHMEMPAGES], 1, 'what others may share stays');
    yield* c.waitpid(pid);
    t.equal(yield* process_mrelease(m, pidfd, 0), -ESRCH);
    return 0;
  });
  t.equal(status, 0);
  t.same(audit(m), []);
  t.end();
});
