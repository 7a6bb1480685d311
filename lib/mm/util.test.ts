// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { do_syscall_64 } from '../arch/x86/entry/syscall_64.ts';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_store32 } from '../arch/x86/mm/uaccess.ts';
import { audit } from '../audit.ts';
import { boot } from '../boot.ts';
import type { Machine } from '../machine.ts';
import { stable_page_flags } from '../fs/proc/page.ts';
import { start_process } from '../kernel/exec.ts';
import { small_machine } from '../kernel/testing.ts';
import type { PatchId } from '../patches/index.ts';
import { memremap_device_private_pagemap } from './device_private.ts';
import { dev_pagemap } from './memremap.ts';
import type { mm_struct } from './mm_types.ts';
import { sys_munmap } from './mmap/mmap.ts';
import { sys_mprotect } from './mprotect.ts';
import { FOLIO_MAPPING_ANON, page_to_pfn, pfn_to_page } from './page.ts';
import { alloc_page, prep_compound_page } from './page_alloc.ts';
import { noting_ops } from './testing.ts';
import { security_vm_enough_memory_mm, snapshot_page, vm_unacct_memory } from './util.ts';

const SERIES = ['device-private-offsets'] as const;
// include/uapi/linux/kernel-page-flags.h
const [KPF_ANON, HEAD, TAIL, NOPAGE, ZERO_PAGE, RESERVED] = [2 ** 12, 2 ** 15, 2 ** 16, 2 ** 20, 2 ** 24, 2 ** 32];
const [FAITHFUL, DEVICE_PRIVATE] = [1, 8];
const PAGE = 4096;
const ENOMEM = 12;
const [NONE, R, RW] = [0, 1, 3];
const NR_munmap = 11;
const [SHARED, PRIVATE, ANON, NORESERVE] = [1, 2, 0x20, 0x4000];

/** A machine with a device that has a page of the zero page's number. */
function machine(patches: readonly PatchId[]): { m: Machine; page: number } {
  const m = boot({ mem: 128 * 1024 ** 2, patches });
  const pgmap = new dev_pagemap();
  pgmap.type = 1;
  pgmap.owner = {};
  pgmap.nr_pages = 32768;
  pgmap.ops = noting_ops([]);
  t.equal(memremap_device_private_pagemap(m, pgmap, 0), 0);
  return { m, page: pgmap.pages + page_to_pfn(m, m.zero_page) };
}

t.test('pages of RAM', (t) => {
  const m = boot({ mem: 128 * 1024 ** 2 });
  t.equal(stable_page_flags(m, 0), NOPAGE);
  t.equal(stable_page_flags(m, m.zero_page), ZERO_PAGE + RESERVED);
  const page = alloc_page(m, 0);
  t.same(snapshot_page(m, page), { pfn: page_to_pfn(m, page), idx: 0, flags: FAITHFUL });
  t.equal(stable_page_flags(m, page), 0);
  const head = pfn_to_page(m, 0x4000);
  prep_compound_page(m, head, 2);
  m.page.mapping[head] = FOLIO_MAPPING_ANON;
  t.equal(stable_page_flags(m, head), KPF_ANON + HEAD);
  t.same(snapshot_page(m, head + 3), { pfn: 0x4003, idx: 3, flags: FAITHFUL });
  t.equal(stable_page_flags(m, head + 3), KPF_ANON + TAIL);
  t.end();
});

t.test(
  'a private page with the number of the page of zeroes is not that, unless the snapshot forgets that it is an offset',
  (t) => {
    const { m, page } = machine(SERIES);
    t.same(snapshot_page(m, page), { pfn: page_to_pfn(m, m.zero_page), idx: 0, flags: FAITHFUL + DEVICE_PRIVATE });
    t.equal(stable_page_flags(m, page), RESERVED);
    t.equal(stable_page_flags(m, m.zero_page), ZERO_PAGE + RESERVED);
    const forgetful = machine([...SERIES, 'offsets-no-snapshot-flag']);
    t.equal(stable_page_flags(forgetful.m, forgetful.page), ZERO_PAGE + RESERVED);
    t.end();
  },
);

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
    t.equal(charged(), 17, 'never written, so it is uncharged');
    yield* user_store32(m, a, 1);
    yield* sys_mprotect(m, a, 10 * PAGE, NONE);
    t.equal(charged(), 17, 'once written, it stays charged');
    yield* sys_munmap(m, a + 8 * PAGE, PAGE);
    t.equal(charged(), 16);
    for (const addr of [a, b, c]) yield* sys_munmap(m, addr, 10 * PAGE);
    t.equal(charged(), 7);
    yield* do_syscall_64(m, NR_munmap, d, 7 * PAGE);
    t.equal(charged(), 0, 'the last unmap releases the file and its pages');
  });
  m.sched.run(() => m.sched.tasks.length === 0);
  t.equal(m.vm_committed_as, 0);
  t.same(audit(m), []);
  t.end();
});
