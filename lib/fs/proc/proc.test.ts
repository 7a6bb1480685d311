// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_store8, user_write_bytes } from '../../arch/x86/mm/uaccess.ts';
import type { Machine, MachineConfig } from '../../machine.ts';
import { kernel_wait4 } from '../../kernel/exit.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { sched_yield } from '../../kernel/sched/syscalls.ts';
import { wait_event, wait_event_interruptible, wait_queue_head, wake_up } from '../../kernel/sched/wait.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { kcalloc, kvcalloc, kvfree } from '../../mm/slub.ts';
import { do_sys_open } from '../open.ts';
import { ksys_pread64, ksys_read, ksys_write } from '../read_write.ts';
import { read_text, write_text } from '../testing.ts';

const BUF = 0x300000000;
const MAP = 0x200000000;
const PAGE = 4096;
const [ENOENT, ESRCH, EFAULT, EINVAL, ERANGE] = [-2, -3, -14, -22, -34];
const [CHILD, THREAD] = [0, 0x10500];
const GFP_KERNEL = 0xcc0;

function run(body: (m: Machine) => Gen<void>, config: MachineConfig = {}): void {
  run_clean(
    t,
    small_machine(config),
    function* (m) {
      yield* sys_mmap(m, BUF, 2 * PAGE, 3, 0x32, -1, 0);
      for (const at of [BUF, BUF + PAGE]) yield* user_store8(m, at, 1);
      yield* body(m);
    },
    'a-name',
  );
}

const cat = (m: Machine, path: string): Gen<string> => read_text(m, path, BUF, 2 * PAGE);
const echo = (m: Machine, text: string, path: string): Gen<number> => write_text(m, text, path, BUF);

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
    t.match(
      yield* cat(m, `/proc/${sleeps}/status`),
      new RegExp(`State:\\tS \\(sleeping\\)\\n[^]*PPid:\\t${m.current.pid}\\n`),
    );
    t.match(yield* cat(m, `/proc/${blocked}/status`), /State:\tD \(disk sleep\)\n/);
    go = true;
    wake_up(m, wq);
    yield* kernel_wait4(m, sleeps, 0);
    yield* kernel_wait4(m, blocked, 0);
    t.equal(yield* do_sys_open(m, `/proc/${sleeps}/status`, 0, 0), ENOENT);
  });
  t.end();
});

t.test('a process that exited is a zombie without memory until it is waited for', (t) => {
  run(
    function* (m) {
      const pid = yield* kernel_clone(m, CHILD, function* () {});
      const before = yield* do_sys_open(m, `/proc/${pid}/pagemap`, 0, 0);
      t.ok(before >= 0);
      while (m.sched.tasks.length > 1) yield* sched_yield(m);
      const status = `Name:\ta-name\nState:\tZ (zombie)\nTgid:\t${pid}\nNgid:\t0\nPid:\t${pid}\nPPid:\t${m.current.pid}\n`;
      t.match(
        yield* cat(m, `/proc/${pid}/status`),
        new RegExp(`^${status.replace(/[()]/g, '\\$&')}TracerPid:\t0\nUid:.*\nGid:.*\n$`),
      );
      t.equal(yield* cat(m, `/proc/${pid}/comm`), 'a-name\n');
      t.equal(yield* cat(m, `/proc/${pid}/maps`), '');
      t.equal(yield* cat(m, `/proc/${pid}/smaps`), '');
      t.equal(yield* do_sys_open(m, `/proc/${pid}/pagemap`, 0, 0), ESRCH, 'no memory to look at');
      t.equal(yield* ksys_read(m, before, BUF, 8), 0);
      const fds = [];
      for (const name of ['status', 'comm', 'maps', 'fail-nth'])
        fds.push(yield* do_sys_open(m, `/proc/${pid}/${name}`, 2, 0));
      yield* kernel_wait4(m, pid, 0);
      for (const name of ['status', 'comm', 'maps', 'pagemap'])
        t.equal(yield* do_sys_open(m, `/proc/${pid}/${name}`, 0, 0), ENOENT);
      for (const fd of fds) t.equal(yield* ksys_read(m, fd, BUF, 8), ESRCH, 'a file that was opened before');
      t.equal(yield* ksys_write(m, fds[3], BUF + PAGE, 1), EINVAL, 'the number comes first');
      yield* user_write_bytes(m, BUF, new TextEncoder().encode('1'));
      t.equal(yield* ksys_write(m, fds[3], BUF, 1), ESRCH);
    },
    { fault_injection: true },
  );
  t.end();
});

t.test('a thread has a directory of its own', (t) => {
  run(function* (m) {
    const wq = new wait_queue_head('thread');
    let go = false;
    const tid = yield* kernel_clone(m, THREAD, function* () {
      t.match(
        yield* cat(m, '/proc/self/status'),
        new RegExp(`Tgid:\\t${m.current.tgid}\\nNgid:\\t0\\nPid:\\t${m.current.tgid}\\n`),
        'self is the process',
      );
      yield* wait_event(m, wq, () => go);
    });
    yield* sched_yield(m);
    t.match(
      yield* cat(m, `/proc/${tid}/status`),
      new RegExp(`State:\\tD \\(disk sleep\\)\\nTgid:\\t${m.current.pid}\\nNgid:\\t0\\nPid:\\t${tid}\\nPPid:\\t0\\n`),
    );
    go = true;
    wake_up(m, wq);
    while (m.sched.tasks.length > 1) yield* sched_yield(m);
    t.equal(yield* do_sys_open(m, `/proc/${tid}/status`, 0, 0), ENOENT, 'nobody waits for a thread');
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
    t.same(
      names.map((name) => field(info, name)),
      [3, 3, 0, 0, 2048],
    );
    for (const bad of ['x', '-1']) t.equal(yield* echo(m, bad, path), EINVAL, bad);
    t.equal(yield* echo(m, '1', path), 1);
    t.equal(field(yield* cat(m, '/proc/meminfo'), 'HugePages_Total'), 1);
    t.equal(yield* echo(m, '4', '/proc/sys/vm/nr_overcommit_hugepages'), 1);
    t.equal(yield* cat(m, '/proc/sys/vm/nr_overcommit_hugepages'), '4\n');
  });
  t.end();
});

t.test('fail-nth makes the n-th allocation that can fail do so, once', (t) => {
  run(
    function* (m) {
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
    },
    { fault_injection: true },
  );
  t.end();
});

t.test('fail-nth reads what is left, takes any base, and is of the task that its path names', (t) => {
  run(
    function* (m) {
      const path = '/proc/self/fail-nth';
      t.equal(yield* cat(m, path), '0\n');
      for (const [text, value] of [
        ['+7', 7],
        ['010\n', 8],
        ['0x1F', 31],
        ['0X10', 16],
        ['0', 0],
        ['4294967295', 4294967295],
      ] as const) {
        t.equal(yield* echo(m, text, path), text.length, text);
        t.equal(yield* cat(m, path), `${value}\n`);
      }
      for (const text of ['', '-1', ' 1', '1 ', '1\n\n', '08', '0x', '1f', '+'])
        t.equal(yield* echo(m, text, path), EINVAL, JSON.stringify(text));
      for (const text of ['4294967296', '0x100000000', '18446744073709551616x'])
        t.equal(yield* echo(m, text, path), ERANGE, text);
      t.equal(yield* echo(m, '4294967296x', path), EINVAL);
      t.equal(yield* echo(m, `${'0'.repeat(33)}5678`, path), 37, 'the first 34 characters count');
      t.equal(yield* cat(m, path), '5\n');
      t.equal(yield* echo(m, '3\0x', path), 3, 'and those before a NUL');
      kvfree(m, kcalloc(m, 1, GFP_KERNEL));
      t.equal(yield* cat(m, path), '2\n');
      const fd = yield* do_sys_open(m, path, 0, 0);
      t.equal(yield* ksys_read(m, fd, BUF, 1), 1);
      t.equal(yield* ksys_read(m, fd, BUF, 9), 1);
      t.equal(yield* ksys_read(m, fd, BUF, 9), 0);
      t.equal(yield* ksys_pread64(m, fd, 0x1000, 1, 0), EFAULT);

      const parent = `/proc/${m.current.pid}/fail-nth`;
      const pid = yield* kernel_clone(m, CHILD, function* () {
        t.equal(yield* cat(m, path), '0\n', 'a child starts without');
        yield* echo(m, '1', parent);
        kvfree(m, kcalloc(m, 1, GFP_KERNEL));
      });
      yield* kernel_wait4(m, pid, 0);
      t.equal(kcalloc(m, 1, GFP_KERNEL), null);
      t.equal(yield* cat(m, path), '0\n');
      const tid = yield* kernel_clone(m, THREAD, function* () {
        yield* echo(m, '9', path);
        t.equal(yield* cat(m, `/proc/${m.current.pid}/fail-nth`), '0\n', 'self is the first thread');
      });
      while (m.sched.tasks.some((x) => x.pid === tid)) yield* sched_yield(m);
      t.equal(yield* cat(m, path), '9\n');
    },
    { fault_injection: true },
  );
  t.end();
});
