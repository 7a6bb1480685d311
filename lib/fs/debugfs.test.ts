// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { boot } from '../boot.ts';
import { start_process } from '../kernel/exec.ts';
import type { Gen } from '../kernel/gen.ts';
import { debugfs_create_file, debugfs_remove } from './debugfs.ts';
import type { file_operations } from './fs.ts';
import { sys_ioctl } from './ioctl.ts';
import { do_sys_open } from './open.ts';
import { ksys_read } from './read_write.ts';
import { do_scandir } from './readdir.ts';

const [O_RDONLY, O_RDWR, ENOENT, EINVAL, ENOTTY] = [0, 2, -2, -22, -25];

t.test('a file of debugfs calls its operations, and stays for whom it is open when it is removed', (t) => {
  const m = boot({ mem: 64 * 1024 * 1024, thp: 'never' });
  const calls: string[] = [];
  const fops: file_operations = {
    *open(): Gen<number> {
      calls.push('open');
      return 0;
    },
    *release(): Gen<number> {
      calls.push('release');
      return 0;
    },
    *unlocked_ioctl(_m, _f, cmd, arg): Gen<number> {
      return cmd === 7 ? arg + 1 : -515;
    },
  };
  const path = debugfs_create_file(m, 'thing', 0o600, null, fops);
  t.equal(path, '/sys/kernel/debug/thing');
  t.equal(debugfs_create_file(m, 'inner', 0o400, '/sys/kernel/debug/dir', {}), '/sys/kernel/debug/dir/inner');
  start_process(m, 'test', function* () {
    const names = yield* do_scandir(m, '/sys/kernel/debug');
    const types = (names as { d_name: string; d_type: number }[]).map((d) => `${d.d_name} ${d.d_type}`);
    t.ok(types.includes('thing 8') && types.includes('dir 4'), 'a file and a directory');
    const fd = yield* do_sys_open(m, path, O_RDWR, 0);
    t.equal(yield* sys_ioctl(m, fd, 7, 41), 42);
    t.equal(yield* sys_ioctl(m, fd, 8, 41), ENOTTY);
    t.equal(yield* ksys_read(m, fd, 0x1000, 1), EINVAL, 'it cannot be read');
    t.ok((yield* do_sys_open(m, '/sys/kernel/debug/dir/inner', O_RDONLY, 0)) >= 0);
    debugfs_remove(m, path);
    t.equal(yield* do_sys_open(m, path, O_RDWR, 0), ENOENT);
    t.equal(yield* sys_ioctl(m, fd, 7, 1), 2);
    t.same(calls, ['open']);
  });
  m.sched.run(() => m.sched.tasks.length === 0);
  t.same(calls, ['open', 'release'], 'exit closes it');
  t.end();
});
