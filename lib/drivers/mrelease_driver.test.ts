// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../arch/x86/entry/syscall_64.ts';
import { sys_ioctl } from '../fs/ioctl.ts';
import { do_sys_open, ksys_close } from '../fs/open.ts';
import { kernel_wait4 } from '../kernel/exit.ts';
import { kernel_clone } from '../kernel/fork/fork.ts';
import { load_module, unload_module } from '../kernel/module.ts';
import { sys_pidfd_open } from '../kernel/pid.ts';
import { sys_kill } from '../kernel/signal.ts';
import { run_process, small_machine } from '../kernel/testing.ts';

const EINVAL = -22;
const SIGKILL = 9;
const PAUSE = 34;

t.test('/dev/mrelease answers what process_mrelease() does', (t) => {
  const m = small_machine();
  t.equal(
    run_process(m, function* () {
      t.equal(yield* load_module(m, 'mrelease_driver'), 0);
      const fd = yield* do_sys_open(m, '/dev/mrelease', 2, 0);
      const pid = yield* kernel_clone(m, 0, function* () {
        yield* do_syscall_64(m, PAUSE);
      });
      const pidfd = sys_pidfd_open(m, pid, 0);
      t.equal(yield* sys_ioctl(m, fd, 0, pidfd), EINVAL);
      t.equal(sys_kill(m, pid, SIGKILL), 0);
      t.equal(yield* sys_ioctl(m, fd, 0, pidfd), 0);
      yield* kernel_wait4(m, pid, 0);
      yield* ksys_close(m, fd);
      t.equal(yield* unload_module(m, 'mrelease_driver'), 0);
    }),
    0,
  );
  t.end();
});
