// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { pte_pfn } from '../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../arch/x86/mm/uaccess.ts';
import { boot } from '../boot.ts';
import { sys_ioctl } from '../fs/ioctl.ts';
import { do_sys_open } from '../fs/open.ts';
import { walk_address } from '../inspect.ts';
import { start_process } from '../kernel/exec.ts';
import { load_module, unload_module } from '../kernel/module.ts';
import type { mm_struct } from '../mm/mm_types.ts';
import { vm_mmap } from '../mm/util.ts';
import { PFN_FOUND, PFN_LOOK, PFN_LRU, PFN_MAPPED, PFN_MIGRATE, PFN_REMEMBER } from './pfn_driver.ts';

const EINVAL = 22;

t.test('the driver migrates a page by its pfn, and says what reclaim would find', (t) => {
  const m = boot({ mem: 64 * 1024 * 1024, thp: 'never' });
  const task = start_process(m, 'test', function* () {
    t.equal(yield* load_module(m, 'pfn_driver'), 0);
    const fd = yield* do_sys_open(m, '/dev/pfn', 2, 0);
    const buf = yield* vm_mmap(m, null, 0, 4096, 3, 0x22, 0);
    yield* user_store32(m, buf, 7);
    t.equal(yield* sys_ioctl(m, fd, PFN_LOOK, 0), -EINVAL, 'no page is remembered');
    t.equal(yield* sys_ioctl(m, fd, PFN_REMEMBER, buf), 0);
    t.equal(yield* sys_ioctl(m, fd, PFN_LOOK, 0), PFN_MAPPED | PFN_FOUND | PFN_LRU);
    const pfn = (): number => pte_pfn(walk_address(m.current.mm as mm_struct, buf).entry);
    const before = pfn();
    t.equal(yield* sys_ioctl(m, fd, PFN_MIGRATE, 0), 0);
    t.not(pfn(), before);
    t.equal(yield* user_load32(m, buf), 7);
    t.equal(yield* sys_ioctl(m, fd, PFN_LOOK, 0), -EINVAL, 'the page that is remembered is free now');
    t.equal(yield* unload_module(m, 'pfn_driver'), 0);
  });
  m.sched.run(() => task.exit_state !== 'alive');
  t.same([m.log.warnings, m.log.oopses], [[], []]);
  t.end();
});
