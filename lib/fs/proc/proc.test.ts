// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { boot, type Machine, type MachineConfig } from '../../boot.ts';
import { start_process } from '../../kernel/exec.ts';
import { kernel_wait4 } from '../../kernel/exit.ts';
import { kernel_clone } from '../../kernel/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { wait_event, wait_event_interruptible, wait_queue_head, wake_up } from '../../kernel/locks.ts';
import { sched_yield } from '../../kernel/sched.ts';
import { sys_mmap } from '../../mm/mmap.ts';
import { kcalloc, kvcalloc, kvfree } from '../../mm/slab.ts';
import { user_read_bytes, user_store8, user_write_bytes } from '../../mm/uaccess.ts';
import { ksys_close } from '../file_table.ts';
import { do_sys_open } from '../namei.ts';
import { ksys_read, ksys_write } from '../read_write.ts';

const BUF = 0x300000000;
const MAP = 0x200000000;
const PAGE = 4096;
const [ENOENT, EFAULT, EINVAL] = [-2, -14, -22];
const GFP_KERNEL = 0xcc0;

function run(body: (m: Machine) => Gen<void>, config: MachineConfig = {}): void {
  const m = boot({ mem: 64 * 1024 * 1024, thp: 'never', ...config });
  start_process(m, 'a-name', function* () {
    yield* sys_mmap(m, BUF, 2 * PAGE, 3, 0x32, -1, 0);
    for (const at of [BUF, BUF + PAGE]) yield* user_store8(m, at, 1);
    yield* body(m);
  });
  m.sched.run(() => m.sched.tasks.length === 0);
}

function* cat(m: Machine, path: string): Gen<string> {
  const fd = yield* do_sys_open(m, path, 0, 0);
  const n = yield* ksys_read(m, fd, BUF, 2 * PAGE);
  const text = new TextDecoder().decode(yield* user_read_bytes(m, BUF, n));
  yield* ksys_close(m, fd);
  return text;
}

function* echo(m: Machine, text: string, path: string): Gen<number> {
  const fd = yield* do_sys_open(m, path, 1, 0);
  if (fd < 0) return fd;
  yield* user_write_bytes(m, BUF, new TextEncoder().encode(text));
  const n = yield* ksys_write(m, fd, BUF, text.length);
  yield* ksys_close(m, fd);
  return n;
}

function field(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)( kB)?$`, 'm').exec(text)?.[1]);
}

t.test('/proc/meminfo follows the free pages', (t) => {
  run(function* (m) {
    const before = yield* cat(m, '/proc/meminfo');
    t.match(before, /^MemTotal: {7}[ \d]{8} kB\nMemFree: {8}[ \d]{8} kB\n/);
    t.equal(field(before, 'MemTotal'), m.zone.managed_pages * 4);
    yield* sys_mmap(m, BUF + 2 * PAGE, 10 * PAGE, 3, 0x32, -1, 0);
    for (let i = 2; i < 12; i++) yield* user_store8(m, BUF + i * PAGE, 1);
    const after = yield* cat(m, '/proc/meminfo');
    t.equal(field(before, 'MemFree') - field(after, 'MemFree'), 40, 'ten pages, no new table');
    t.equal(field(after, 'Committed_AS') - field(before, 'Committed_AS'), 40);
  });
  t.end();
});

t.test('/proc/PID/status names the process, what it does and what memory it has', (t) => {
  run(function* (m) {
    const wq = new wait_queue_head('status');
    let go = false;
    const self = yield* cat(m, '/proc/self/status');
    const { pid } = m.current;
    t.ok(self.startsWith(`Name:\ta-name\nState:\tR (running)\nTgid:\t${pid}\nNgid:\t0\nPid:\t${pid}\nPPid:\t0\n`));
    t.equal(yield* cat(m, '/proc/self/comm'), 'a-name\n');
    const rss = field(self, 'RssAnon');
    yield* sys_mmap(m, MAP, 4 * PAGE, 3, 0x32, -1, 0);
    for (let i = 0; i < 3; i++) yield* user_store8(m, MAP + i * PAGE, 1);
    const later = yield* cat(m, '/proc/self/status');
    t.equal(field(later, 'RssAnon') - rss, 12);
    t.equal(field(later, 'VmSize') - field(self, 'VmSize'), 16);
    t.equal(field(later, 'VmRSS'), field(later, 'RssAnon') + field(later, 'RssFile') + field(later, 'RssShmem'));

    const sleeps = yield* kernel_clone(m, 0, function* () {
      yield* wait_event_interruptible(m, wq, () => go);
    });
    const blocked = yield* kernel_clone(m, 0, function* () {
      yield* wait_event(m, wq, () => go);
    });
    yield* sched_yield(m);
    yield* sched_yield(m);
    t.match(yield* cat(m, `/proc/${sleeps}/status`), new RegExp(`State:\\tS \\(sleeping\\)\\n[^]*PPid:\\t${m.current.pid}\\n`));
    t.match(yield* cat(m, `/proc/${blocked}/status`), /State:\tD \(disk sleep\)\n/);
    go = true;
    wake_up(m, wq);
    yield* kernel_wait4(m, sleeps, 0);
    yield* kernel_wait4(m, blocked, 0);
    t.equal(yield* do_sys_open(m, `/proc/${sleeps}/status`, 0, 0), ENOENT);
  });
  t.end();
});

t.test('the pool of huge pages grows and shrinks by /proc/sys/vm/nr_hugepages', (t) => {
  run(function* (m) {
    const path = '/proc/sys/vm/nr_hugepages';
    t.equal(yield* cat(m, path), '0\n');
    t.equal(yield* echo(m, '3\n', path), 2);
    t.equal(yield* cat(m, path), '3\n');
    const info = yield* cat(m, '/proc/meminfo');
    const names = ['HugePages_Total', 'HugePages_Free', 'HugePages_Rsvd', 'HugePages_Surp', 'Hugepagesize'];
    t.same(names.map((name) => field(info, name)), [3, 3, 0, 0, 2048]);
    for (const bad of ['x', '-1']) t.equal(yield* echo(m, bad, path), EINVAL, bad);
    t.equal(yield* echo(m, '1', path), 1);
    t.equal(field(yield* cat(m, '/proc/meminfo'), 'HugePages_Total'), 1);
    t.equal(yield* echo(m, '4', '/proc/sys/vm/nr_overcommit_hugepages'), 1);
    t.equal(yield* cat(m, '/proc/sys/vm/nr_overcommit_hugepages'), '4\n');
  });
  t.end();
});

t.test('fail-nth makes the n-th allocation that can fail do so, once', (t) => {
  run(function* (m) {
    const path = '/proc/self/fail-nth';
    t.equal(yield* echo(m, '2\n', path), 2);
    const first = kcalloc(m, 1, GFP_KERNEL);
    t.not(first, null);
    const must = kvcalloc(m, 1, GFP_KERNEL);
    t.equal(kcalloc(m, 1, GFP_KERNEL), null, 'the second that can fail');
    const third = kcalloc(m, 1, GFP_KERNEL);
    t.not(third, null);
    for (const array of [first, must, third]) kvfree(m, array);
    t.equal(m.slab.live, 0);
    t.equal(yield* echo(m, '1', path), 1);
    t.equal(yield* echo(m, '0', path), 1, 'called off');
    kvfree(m, kcalloc(m, 1, GFP_KERNEL));
    t.equal(yield* echo(m, 'soon', path), EINVAL);
    const fd = yield* do_sys_open(m, path, 1, 0);
    t.equal(yield* ksys_write(m, fd, 0x1000, 1), EFAULT);
  }, { fault_injection: true });
  t.end();
});
