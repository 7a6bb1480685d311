// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { runProgram } from '../../harness/libc.ts';
import * as U from '../../harness/uapi.ts';
import { boot } from '../boot.ts';
import { load_module, unload_module } from '../kernel/module.ts';

t.test('/dev/mrelease answers what process_mrelease() does', (t) => {
  const m = boot({ mem: 128 * 1024 * 1024 });
  const status = runProgram(m, function* (c) {
    t.equal(yield* load_module(m, 'mrelease_driver'), 0);
    const fd = yield* c.open('/dev/mrelease', U.O_RDWR);
    const pid = yield* c.fork(function* (v) {
      yield* v.pause();
    });
    const pidfd = yield* c.pidfd_open(pid, 0);
    t.equal(yield* c.ioctl(fd, 0, pidfd), -1);
    t.equal(c.errno, U.EINVAL);
    yield* c.kill(pid, U.SIGKILL);
    t.equal(yield* c.ioctl(fd, 0, pidfd), 0);
    yield* c.waitpid(pid);
    yield* c.close(fd);
    t.equal(yield* unload_module(m, 'mrelease_driver'), 0);
    return 0;
  });
  t.equal(status, 0);
  t.end();
});
