// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../arch/x86/entry/syscall_64.ts';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_store32 } from '../arch/x86/mm/uaccess.ts';
import { audit } from '../audit.ts';
import { start_process } from '../kernel/exec.ts';
import { small_machine } from '../kernel/testing.ts';
import type { mm_struct } from './mm_types.ts';
import { sys_munmap } from './mmap/mmap.ts';
import { sys_mprotect } from './mprotect.ts';
import { security_vm_enough_memory_mm, vm_unacct_memory } from './util.ts';

const PAGE = 4096;
const ENOMEM = 12;
const [NONE, R, RW] = [0, 1, 3];
const NR_munmap = 11;
const [SHARED, PRIVATE, ANON, NORESERVE] = [1, 2, 0x20, 0x4000];

t.test('one request may have all memory there is, however much others were promised, and no page more', (t) => {
  const m = small_machine();
  start_process(m, 'greedy', function* () {
    const mm = m.current.mm as mm_struct;
    const all = m.zone.managed_pages;
    const before = m.vm_committed_as;
    t.equal(security_vm_enough_memory_mm(m, mm, all), 0);
    t.equal(security_vm_enough_memory_mm(m, mm, all), 0);
    t.equal(m.vm_committed_as, before + 2 * all);
    t.equal(security_vm_enough_memory_mm(m, mm, all + 1), -ENOMEM);
    t.equal(m.vm_committed_as, before + 2 * all);
    t.match(
      m.log.lines.at(-1),
      /^__vm_enough_memory: pid: \d+, comm: greedy, bytes: \d+ not enough memory for the allocation$/,
    );
    t.ok(m.log.lines.at(-1)?.includes(`bytes: ${(all + 1) * PAGE} `));
    vm_unacct_memory(m, 2 * all);
    t.equal(yield* sys_mmap(m, 0, (all + 1) * PAGE, RW, PRIVATE | ANON, -1, 0), -ENOMEM);
    t.equal(m.vm_committed_as, before);
  });
  m.sched.run(() => m.sched.tasks.length === 0);
  t.equal(m.vm_committed_as, 0);
  t.end();
});

t.test('what may be written privately or is anonymous and shared counts; the rest when it becomes so', (t) => {
  const m = small_machine();
  start_process(m, 'test', function* () {
    const before = m.vm_committed_as;
    const charged = () => m.vm_committed_as - before;
    const a = yield* sys_mmap(m, 0, 10 * PAGE, RW, PRIVATE | ANON, -1, 0);
    t.equal(charged(), 10);
    const b = yield* sys_mmap(m, 0, 10 * PAGE, R, PRIVATE | ANON, -1, 0);
    const c = yield* sys_mmap(m, 0, 10 * PAGE, RW, PRIVATE | ANON | NORESERVE, -1, 0);
    t.equal(charged(), 10, 'neither read-only nor unreserved memory');
    const d = yield* sys_mmap(m, 0, 7 * PAGE, RW, SHARED | ANON, -1, 0);
    t.equal(charged(), 17);
    yield* sys_mprotect(m, b + PAGE, 3 * PAGE, RW);
    t.equal(charged(), 20);
    yield* sys_mprotect(m, b + PAGE, 3 * PAGE, R);
    t.equal(charged(), 17, 'nobody wrote there, so the promise is taken back');
    yield* user_store32(m, a, 1);
    yield* sys_mprotect(m, a, 10 * PAGE, NONE);
    t.equal(charged(), 17, 'once written to, it stays');
    yield* sys_munmap(m, a + 8 * PAGE, PAGE);
    t.equal(charged(), 16);
    for (const addr of [a, b, c]) yield* sys_munmap(m, addr, 10 * PAGE);
    t.equal(charged(), 7);
    yield* do_syscall_64(m, NR_munmap, d, 7 * PAGE);
    t.equal(charged(), 0, 'the last unmap gives the file up, and with it its pages');
  });
  m.sched.run(() => m.sched.tasks.length === 0);
  t.equal(m.vm_committed_as, 0);
  t.same(audit(m), []);
  t.end();
});
