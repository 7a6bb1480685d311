// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import type { Machine, MachineConfig } from '../../../machine.ts';
import { kernel_clone } from '../../../kernel/fork/fork.ts';
import type { Gen } from '../../../kernel/gen.ts';
import { sched_yield } from '../../../kernel/sched/syscalls.ts';
import { run_clean, signal_of, small_machine } from '../../../kernel/testing.ts';
import type { mm_struct } from '../../../mm/mm_types.ts';
import { strncpy_from_user } from '../../../strncpy_from_user.ts';
import { sys_mmap } from '../kernel/sys_x86_64.ts';
import {
  clear_user,
  copy_from_user,
  copy_to_user,
  tlb_load32,
  tlb_store32,
  user_copy,
  user_load32,
  user_load64,
  user_load8,
  user_memcmp,
  user_memset,
  user_store32,
  user_store64,
  user_store8,
} from './uaccess.ts';

const PAGE = 4096;
const ADDR = 0x200000000;
const READ = 1;
const RW = 3;
const SHARED_ANON = 0x31;
const PRIVATE_ANON = 0x32;
const SEGV = 11;
const ANON_PAGES = 1;
const SHMEM_PAGES = 3;

// Runs a process to its end.
function run(body: (m: Machine) => Gen<void>, config: MachineConfig = {}): Machine {
  return run_clean(t, small_machine(config), body);
}

t.test('untouched memory reads as zero, without a page of its own, and a write gives it one', (t) => {
  run(function* (m) {
    const mm = m.current.mm as mm_struct;
    yield* sys_mmap(m, ADDR, 4 * PAGE, RW, PRIVATE_ANON | 0x10, -1, 0);
    const before = mm.rss_stat[ANON_PAGES];
    t.equal(yield* user_load32(m, ADDR), 0);
    t.equal(mm.rss_stat[ANON_PAGES], before);
    yield* user_store32(m, ADDR, 0xdeadbeef);
    t.equal(mm.rss_stat[ANON_PAGES], before + 1);
    t.equal(yield* user_load32(m, ADDR), 0xdeadbeef);
  });
  t.end();
});

t.test("accesses of every width, aligned or over a page's edge", (t) => {
  run(function* (m) {
    yield* sys_mmap(m, ADDR, 2 * PAGE, RW, PRIVATE_ANON | 0x10, -1, 0);
    yield* user_store64(m, ADDR + 8, 0x1122334455667);
    t.equal(yield* user_load64(m, ADDR + 8), 0x1122334455667);
    t.equal(yield* user_load8(m, ADDR + 8), 0x67);
    yield* user_store64(m, ADDR + 16, -1);
    t.equal(yield* user_load32(m, ADDR + 20), 0xffffffff);
    yield* user_store32(m, ADDR + PAGE - 2, 0x89abcdef);
    t.equal(yield* user_load32(m, ADDR + PAGE - 2), 0x89abcdef);
    t.equal(yield* user_load8(m, ADDR + PAGE), 0xab);
    yield* user_store8(m, ADDR + 1, 0x1ff);
    t.equal(yield* user_load8(m, ADDR + 1), 0xff);
  });
  t.end();
});

t.test('the plain forms answer only what the TLB holds', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, ADDR, PAGE, RW, PRIVATE_ANON | 0x10, -1, 0);
    t.equal(tlb_load32(m, ADDR), undefined);
    t.notOk(tlb_store32(m, ADDR, 1));
    yield* user_load32(m, ADDR);
    t.equal(tlb_load32(m, ADDR), 0);
    t.notOk(tlb_store32(m, ADDR, 1), 'the zero page is not written to');
    yield* user_store32(m, ADDR, 2);
    t.ok(tlb_store32(m, ADDR, 3));
    t.equal(tlb_load32(m, ADDR), 3);
    t.equal(tlb_load32(m, ADDR + 2), undefined, 'not aligned');
    m.sched.explore = true;
    t.equal(tlb_load32(m, ADDR), undefined);
    t.notOk(tlb_store32(m, ADDR, 4));
    m.sched.explore = false;
  });
  t.end();
});

t.test('SIGSEGV: no mapping, a write to what is read-only, an address beyond user space', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, ADDR, PAGE, READ, PRIVATE_ANON | 0x10, -1, 0);
    t.equal(yield* signal_of(user_load32(m, ADDR + PAGE)), SEGV);
    t.equal(yield* signal_of(user_store32(m, ADDR, 1)), SEGV);
    t.equal(yield* signal_of(user_load32(m, ADDR)), 0);
    t.equal(yield* signal_of(user_load32(m, 0)), SEGV);
    t.equal(yield* signal_of(user_load8(m, 0x7ffffffff000)), SEGV);
    t.equal((m.current.mm as mm_struct).mmap_lock.readers.length, 0);
  });
  t.end();
});

t.test('bulk copies, sets and compares work page by page', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, ADDR, 64 * PAGE, RW, PRIVATE_ANON | 0x10, -1, 0);
    yield* user_memset(m, ADDR + 100, 0x5a, 5 * PAGE);
    yield* user_store8(m, ADDR + 2 * PAGE + 7, 1);
    yield* user_copy(m, ADDR + 20 * PAGE + 3, ADDR, 10 * PAGE);
    t.equal(yield* user_memcmp(m, ADDR, ADDR + 20 * PAGE + 3, 10 * PAGE), -1);
    yield* user_store8(m, ADDR + 24 * PAGE, 9);
    t.equal(yield* user_memcmp(m, ADDR, ADDR + 20 * PAGE + 3, 10 * PAGE), 4 * PAGE - 3);
    t.equal(yield* user_memcmp(m, ADDR + 100, ADDR + 20 * PAGE + 103, 3 * PAGE), -1);
    t.equal(yield* signal_of(user_memset(m, ADDR + 63 * PAGE, 0, 2 * PAGE)), SEGV);
  });
  t.end();
});

t.test("the kernel's copies say how many bytes they could not do", (t) => {
  run(function* (m) {
    yield* sys_mmap(m, ADDR, 2 * PAGE, RW, PRIVATE_ANON | 0x10, -1, 0);
    const bytes = new Uint8Array(PAGE).fill(7);
    t.equal(yield* copy_to_user(m, ADDR + 100, bytes, PAGE), 0);
    t.equal(yield* copy_to_user(m, ADDR + PAGE + 96, bytes, PAGE), 96);
    const back = new Uint8Array(PAGE).fill(1);
    t.equal(yield* copy_from_user(m, back, ADDR + PAGE + 96, PAGE), 96);
    t.equal(back[PAGE - 97], 7);
    t.equal(back[PAGE - 96], 0, 'what was not read is zeroed');
    t.equal(yield* copy_to_user(m, 0x7fffffffe800, bytes, PAGE), PAGE);
    t.equal(yield* clear_user(m, ADDR + PAGE, 2 * PAGE), PAGE);
    t.equal(yield* user_load8(m, ADDR + PAGE + 200), 0);
    yield* user_memset(m, ADDR, 0x61, 3);
    yield* user_store8(m, ADDR + 3, 0);
    t.equal(yield* strncpy_from_user(m, ADDR, 100), 'aaa');
    t.equal(yield* strncpy_from_user(m, ADDR + 10 * PAGE, 100), -14);
  });
  t.end();
});

t.test('after fork each side keeps its own data, and the last owner writes without a copy', (t) => {
  const m = run(function* (m) {
    yield* sys_mmap(m, ADDR, PAGE, RW, PRIVATE_ANON | 0x10, -1, 0);
    yield* user_store32(m, ADDR, 1);
    yield* kernel_clone(m, 0, function* () {
      t.equal(yield* user_load32(m, ADDR), 1);
      yield* user_store32(m, ADDR, 2);
      t.equal(yield* user_load32(m, ADDR), 2);
    });
    yield* user_store32(m, ADDR, 3);
    t.equal(yield* user_load32(m, ADDR), 3);
  });
  t.same(m.log.warnings, []);
  t.end();
});

t.test('shared memory is one page for parent and child', (t) => {
  run(function* (m) {
    const mm = m.current.mm as mm_struct;
    yield* sys_mmap(m, ADDR, 2 * PAGE, RW, SHARED_ANON, -1, 0);
    yield* user_store32(m, ADDR, 5);
    t.equal(mm.rss_stat[SHMEM_PAGES], 1);
    yield* kernel_clone(m, 0, function* () {
      t.equal(yield* user_load32(m, ADDR), 5);
      yield* user_store32(m, ADDR, 6);
    });
    for (let i = 0; i < 20; i++) yield* sched_yield(m);
    t.equal(yield* user_load32(m, ADDR), 6);
  });
  t.end();
});
