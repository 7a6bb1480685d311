// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_load8, user_store32 } from '../../../arch/x86/mm/uaccess.ts';
import type { Machine, MachineConfig } from '../../../machine.ts';
import { kernel_wait4 } from '../../../kernel/exit.ts';
import { kernel_clone } from '../../../kernel/fork/fork.ts';
import type { Gen } from '../../../kernel/gen.ts';
import { run_clean, small_machine } from '../../../kernel/testing.ts';
import { lru_add_drain_all } from '../../../mm/folio.ts';
import { sys_madvise } from '../../../mm/madvise/madvise.ts';
import { do_sys_open } from '../../open.ts';
import { ksys_pread64, ksys_read } from '../../read_write.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const BUF = 0x300000000;
const [RW, R] = [3, 1];
const [SHARED, PRIVATE, FIXED, ANON, HUGETLB] = [1, 2, 0x10, 0x20, 0x40000];
const MADV_FREE = 8;

function run(body: (m: Machine) => Gen<void>, config: MachineConfig = {}): void {
  run_clean(
    t,
    small_machine({ nr_hugepages: 1, ...config }),
    function* (m) {
      yield* sys_mmap(m, BUF, 64 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
      yield* body(m);
    },
    'reader',
  );
}

/**
 * The upper halves of the entries of n pages: present 31, swap 30, file 29, guard 26, exclusive 24, soft-dirty 23, which
 * is never set.
 */
function* pagemap(m: Machine, addr: number, n: number): Gen<number[]> {
  const fd = yield* do_sys_open(m, '/proc/self/pagemap', 0, 0);
  t.equal(yield* ksys_pread64(m, fd, BUF, n * 8, (addr / PAGE) * 8), n * 8);
  const out: number[] = [];
  for (let i = 0; i < n; i++)
    out.push(
      ((yield* user_load32(m, BUF + i * 8 + 4)) & 0x7f800000) |
        ((yield* user_load8(m, BUF + i * 8 + 7)) & 0x80 ? 0x80000000 : 0),
    );
  return out.map((x) => x >>> 0);
}

function* text(m: Machine, path: string): Gen<string> {
  const fd = yield* do_sys_open(m, path, 0, 0);
  const size = yield* ksys_read(m, fd, BUF, 60 * PAGE);
  let s = '';
  for (let i = 0; i < size; i++) s += String.fromCharCode(yield* user_load8(m, BUF + i));
  return s;
}

/** The fields in kB of the smaps entry that starts at addr. */
function* smaps(m: Machine, addr: number): Gen<Record<string, number>> {
  const lines = (yield* text(m, '/proc/self/smaps')).split('\n');
  const from = lines.findIndex((l) => l.startsWith(`${addr.toString(16)}-`));
  const fields: Record<string, number> = {};
  for (const line of lines.slice(from + 1)) {
    const hit = /^(\w+):\s+(\d+) kB$/.exec(line);
    if (hit === null) break;
    fields[hit[1]] = Number(hit[2]);
  }
  return fields;
}

const EXCLUSIVE = 0x81000000;
const PRESENT = 0x80000000;

t.test('pagemap and smaps of huge pages', (t) => {
  run(
    function* (m) {
      yield* sys_mmap(m, MAP, HUGE, RW, PRIVATE | ANON | FIXED, -1, 0);
      yield* sys_mmap(m, MAP + HUGE, HUGE, RW, PRIVATE | ANON | FIXED | HUGETLB, -1, 0);
      yield* user_store32(m, MAP, 1);
      yield* user_store32(m, MAP + HUGE, 1);
      t.same(new Set(yield* pagemap(m, MAP, 1024)), new Set([EXCLUSIVE]));
      const thp = yield* smaps(m, MAP);
      t.match(thp, {
        Size: 2048,
        Rss: 2048,
        Pss: 2048,
        Anonymous: 2048,
        AnonHugePages: 2048,
        Private_Dirty: 2048,
        Referenced: 2048,
        KernelPageSize: 4,
      });
      const huge = yield* smaps(m, MAP + HUGE);
      t.match(huge, { Rss: 0, Private_Hugetlb: 2048, Shared_Hugetlb: 0, KernelPageSize: 2048, MMUPageSize: 2048 });
      const pid = yield* kernel_clone(m, 0, function* () {
        t.match(yield* smaps(m, MAP), { Rss: 2048, Pss: 1024, Shared_Dirty: 2048, AnonHugePages: 2048 });
        t.match(yield* smaps(m, MAP + HUGE), { Private_Hugetlb: 0, Shared_Hugetlb: 2048 });
        t.same(new Set(yield* pagemap(m, MAP, 1024)), new Set([PRESENT]));
      });
      yield* kernel_wait4(m, pid, 0);
    },
    { thp: 'always' },
  );
  t.end();
});

t.test('smaps of small pages and files', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, 8 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* sys_mmap(m, MAP + HUGE, 8 * PAGE, RW, SHARED | ANON | FIXED, -1, 0);
    yield* user_load32(m, MAP);
    for (let i = 1; i < 4; i++) yield* user_store32(m, MAP + i * PAGE, i);
    yield* user_store32(m, MAP + HUGE, 1);
    t.match(yield* smaps(m, MAP), {
      Size: 32,
      Rss: 12,
      Pss: 12,
      Private_Dirty: 12,
      Anonymous: 12,
      Swap: 0,
      LazyFree: 0,
    });
    t.match(yield* smaps(m, MAP + HUGE), { Rss: 4, Anonymous: 0, Private_Dirty: 4, ShmemPmdMapped: 0 });
    yield* lru_add_drain_all(m);
    t.equal(yield* sys_madvise(m, MAP, 4 * PAGE, MADV_FREE), 0);
    yield* lru_add_drain_all(m);
    t.match(yield* smaps(m, MAP), { Rss: 12, LazyFree: 12 });
  });
  t.end();
});

t.test('maps, status and comm', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, PAGE, R, PRIVATE | ANON | FIXED, -1, 0);
    yield* sys_mmap(m, MAP + PAGE, PAGE, RW, SHARED | ANON | FIXED, -1, 0);
    yield* user_store32(m, MAP + PAGE, 1);
    const maps = yield* text(m, '/proc/self/maps');
    t.match(maps, /^200000000-200001000 r--p 00000000 00:00 0 +\n/m);
    t.match(maps, /^200001000-200002000 rw-s 00000000 00:01 \d+ +\/dev\/zero \(deleted\)$/m);
    const status = yield* text(m, '/proc/self/status');
    t.match(status, new RegExp(`^Name:\treader\nState:\tR \\(running\\)\nTgid:\t${m.current.pid}\n`));
    t.match(status, /^RssShmem:\t {7}4 kB$/m);
    t.match(status, /^HugetlbPages:\t {7}0 kB$/m);
    t.equal(yield* text(m, `/proc/${m.current.pid}/comm`), 'reader\n');
    t.match(yield* text(m, '/proc/meminfo'), /^Hugepagesize: {7}2048 kB$/m);
    t.equal(yield* do_sys_open(m, '/proc/4711/maps', 0, 0), -2);
  });
  t.end();
});
