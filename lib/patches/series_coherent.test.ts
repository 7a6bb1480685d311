// SPDX-License-Identifier: GPL-2.0-only
// Coherent memory as of January 2022, on a machine in that state.

import t from 'tap';
import { user_load32, user_load64, user_store32, user_store64 } from '../arch/x86/mm/uaccess.ts';
import { boot } from '../boot.ts';
import { sys_ioctl } from '../fs/ioctl.ts';
import { do_sys_open } from '../fs/open.ts';
import { start_process } from '../kernel/exec.ts';
import { load_module } from '../kernel/module.ts';
import { vm_mmap } from '../mm/util.ts';

const EINVAL = 22;
const MIB = 1024 * 1024;
const SPM = 0x40000000;
/** _IOWR('H', nr, struct hmm_dmirror_cmd) with six u64 */
const V3 = 0xc0304800;

t.test('in the state of January 2022 the ioctls are those of then', (t) => {
  const m = boot({
    mem: 2048 * MIB,
    thp: 'never',
    reserved: [{ start: SPM, size: 512 * MIB }],
    patches: ['coherent-v3'],
  });
  const task = start_process(m, 'test', function* () {
    t.equal(yield* load_module(m, 'test_hmm', { spm_addr_dev0: SPM, spm_addr_dev1: SPM + 256 * MIB }), 0);
    const buf = yield* vm_mmap(m, null, 0, 4096, 3, 0x22, 0);
    const mirror = yield* vm_mmap(m, null, 0, 4096, 3, 0x22, 0);
    const cmd = yield* vm_mmap(m, null, 0, 4096, 3, 0x22, 0);
    yield* user_store32(m, buf, 7);
    yield* user_store64(m, cmd, buf);
    yield* user_store64(m, cmd + 8, mirror);
    yield* user_store64(m, cmd + 16, 1);
    for (const [device, type] of [
      [0, 1],
      [2, 2],
    ] as const) {
      const fd = yield* do_sys_open(m, `/dev/hmm_dmirror${device}`, 2, 0);
      t.equal(yield* sys_ioctl(m, fd, V3 + 7, cmd), 0);
      t.equal(yield* user_load64(m, cmd + 40), type);
      t.equal(yield* sys_ioctl(m, fd, V3 + 2, cmd), 0, 'MIGRATE_TO_DEV');
      t.equal(yield* user_load32(m, mirror), 7);
      t.equal(yield* sys_ioctl(m, fd, V3 + 3, cmd), 0, 'MIGRATE_TO_SYS');
      t.equal(yield* user_load64(m, cmd + 24), 1);
      t.equal(yield* sys_ioctl(m, fd, V3 + 8, cmd), -EINVAL, 'no FLAGS yet');
      t.equal(yield* sys_ioctl(m, fd, 0xc0284800, cmd), -EINVAL, 'READ of today');
    }
  });
  m.sched.run(() => task.exit_state !== 'alive');
  t.same([m.log.warnings, m.log.oopses], [[], []]);
  t.end();
});
