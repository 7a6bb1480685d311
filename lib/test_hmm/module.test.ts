// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { user_load32, user_load64, user_store32 } from '../arch/x86/mm/uaccess.ts';
import { boot } from '../boot.ts';
import type { Machine, MachineConfig } from '../machine.ts';
import { sys_ioctl } from '../fs/ioctl.ts';
import { do_sys_open, ksys_close } from '../fs/open.ts';
import type { Gen } from '../kernel/gen.ts';
import { load_module, unload_module } from '../kernel/module.ts';
import { run_clean } from '../kernel/testing.ts';
import { load_words } from '../mm/testing.ts';
import { vm_mmap } from '../mm/util.ts';
import { dev, load_bytes } from './testing.ts';

// From test_hmm_uapi.h, declared again.
const [READ, WRITE, TO_DEV, TO_SYS, SNAPSHOT, EXCLUSIVE, CHECK_EXCLUSIVE, RELEASE, FLAGS] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8,
].map((nr) => 0xc0284800 + nr);
const ENOENT = 2;
const EAGAIN = 11;
const ENOMEM = 12;
const EFAULT = 14;
const EEXIST = 17;
const EINVAL = 22;
const EPERM = 1;
const PAGE = 4096;
const MIB = 1024 * 1024;

/** The first process of a machine with the driver: its buffer, its mirror buffer and the device's descriptor. */
class User {
  readonly m: Machine;
  fd = -1;
  buf = 0;
  mirror = 0;
  private cmd = 0;
  constructor(m: Machine) {
    this.m = m;
  }
  *map(bytes: number): Gen<number> {
    return yield* vm_mmap(this.m, null, 0, bytes, 3, 0x22, 0);
  }
  *open(path: string, npages: number): Gen<void> {
    this.fd = yield* do_sys_open(this.m, path, 2, 0);
    this.buf = yield* this.map(npages * PAGE);
    this.mirror = yield* this.map(npages * PAGE);
    this.cmd = yield* this.map(PAGE);
  }
  /** The ioctl's result; cpages and faults stay in the struct. */
  dev(command: number, npages: number, addr = this.buf): Gen<number> {
    return dev(this.m, this.fd, command, npages, addr, this.cmd, this.mirror);
  }
  *cpages(): Gen<number> {
    return yield* user_load64(this.m, this.cmd + 24);
  }
  *faults(): Gen<number> {
    return yield* user_load64(this.m, this.cmd + 32);
  }
  *fill(at: number, npages: number, v: number): Gen<void> {
    for (let i = 0; i < npages; i++) yield* user_store32(this.m, at + i * PAGE, v + i);
  }
  sums(at: number, npages: number): Gen<number[]> {
    return load_words(this.m, at, npages);
  }
  *snapshot(npages: number): Gen<number[]> {
    t.equal(yield* this.dev(SNAPSHOT, npages), 0);
    return yield* load_bytes(this.m, this.mirror, npages);
  }
}

function run(config: MachineConfig, params: Record<string, number>, body: (u: User) => Gen<void>): Machine {
  return run_clean(t, boot({ mem: 1024 * MIB, thp: 'never', ...config }), function* (m) {
    t.equal(yield* load_module(m, 'test_hmm', params), 0);
    yield* body(new User(m));
  });
}

const numbers = (from: number, n: number): number[] => Array.from({ length: n }, (_, i) => from + i);

t.test('a process and a private device work on the same memory', (t) => {
  const m = run({}, {}, function* (u) {
    const n = 40;
    yield* u.open('/dev/hmm_dmirror0', n);
    yield* u.fill(u.buf, n, 100);
    t.equal(yield* u.dev(READ, n), 0);
    t.same([yield* u.cpages(), yield* u.faults()], [n, 1]);
    t.same(yield* u.sums(u.mirror, n), numbers(100, n));
    yield* u.fill(u.mirror, n, 500);
    t.equal(yield* u.dev(WRITE, n), 0);
    t.equal(yield* u.faults(), 0, 'what was mapped for reading is writable, since the process has it so');
    t.same(yield* u.sums(u.buf, n), numbers(500, n));

    t.equal(yield* u.dev(TO_DEV, n), 0);
    t.same(yield* u.sums(u.mirror, n), numbers(500, n));
    t.same(yield* u.snapshot(n), Array(n).fill(0x22), 'all on this device, writable');
    t.equal(yield* user_load32(u.m, u.buf + PAGE), 501, 'the CPU brings a page back');
    t.same(yield* u.snapshot(3), [0x22, 0x02, 0x22]);
    t.equal(yield* u.dev(TO_SYS, n), 0);
    t.equal(yield* u.cpages(), n - 1);
    t.same(yield* u.sums(u.buf, n), numbers(500, n));
  });
  t.same([m.log.warnings, m.log.oopses], [[], []]);
  t.end();
});

t.test('exclusive access lasts until the CPU touches the page', (t) => {
  run({}, {}, function* (u) {
    yield* u.open('/dev/hmm_dmirror1', 4);
    yield* u.fill(u.buf, 4, 7);
    t.equal(yield* u.dev(EXCLUSIVE, 4), 0);
    t.equal(yield* u.dev(CHECK_EXCLUSIVE, 4), -EPERM);
    yield* user_store32(u.m, u.buf, 1);
    t.equal(yield* u.dev(CHECK_EXCLUSIVE, 1), 0);
    t.equal(yield* u.dev(CHECK_EXCLUSIVE, 4), -EPERM);
    t.same(yield* u.sums(u.buf, 4), [1, 8, 9, 10]);
    t.equal(yield* u.dev(CHECK_EXCLUSIVE, 4), 0);
  });
  t.end();
});

t.test('a command that makes no sense fails as upstream says', (t) => {
  run({}, {}, function* (u) {
    yield* u.open('/dev/hmm_dmirror0', 2);
    t.equal(yield* u.dev(0xc0284820, 1), -EINVAL, 'no such command');
    t.equal(yield* u.dev(READ, 1, u.buf + 8), -EINVAL, 'not on a page');
    t.equal(yield* u.dev(READ, 0), -EINVAL, 'nothing');
    t.equal(yield* u.dev(READ, 2 ** 52), -EINVAL, 'whose size is 0 in 64 bits');
    t.equal(yield* u.dev(READ, 2, 2 ** 64 - PAGE * 2), -EINVAL, 'whose end is 0 in 64 bits');
    t.equal(yield* u.dev(READ, 1, 2 ** 64 - PAGE * 2), -EFAULT, 'an address of the kernel');
    t.equal(yield* u.dev(READ, 2 ** 40), -ENOMEM, 'more than all memory');
    t.equal(yield* u.dev(READ, 1, 0x10000), -EFAULT, 'nothing is mapped there');
    t.equal(yield* u.dev(TO_DEV, 1, 0x10000), -EINVAL);
    t.equal(yield* sys_ioctl(u.m, u.fd, READ, 0x10000), -EFAULT, 'the struct itself is not there');
  });
  t.end();
});

t.test('an allocation that is made to fail leaves the page where it is, once', (t) => {
  run({}, {}, function* (u) {
    yield* u.open('/dev/hmm_dmirror0', 3);
    yield* u.fill(u.buf, 3, 1);
    t.equal(yield* u.dev(FLAGS, 1), 0);
    t.equal(yield* u.dev(TO_DEV, 3), -ENOENT, 'the contents of a page that did not move are not returned');
    t.same(yield* u.snapshot(3), [0x02, 0x22, 0x22]);
    t.equal(yield* u.dev(TO_DEV, 3), 0, 'pages that moved before are still in the mirror');
    t.same(yield* u.sums(u.mirror, 3), [1, 2, 3]);
    t.same(yield* u.snapshot(3), [0x22, 0x22, 0x22]);
  });
  t.end();
});

t.test('closing the device, and releasing its memory, bring every page back', (t) => {
  const m = run({}, {}, function* (u) {
    yield* u.open('/dev/hmm_dmirror0', 8);
    yield* u.fill(u.buf, 8, 30);
    t.equal(yield* u.dev(TO_DEV, 8), 0);
    t.equal(yield* u.dev(RELEASE, 8), 0);
    t.same(yield* u.snapshot(8), Array(8).fill(0x02));
    t.equal(yield* u.dev(TO_DEV, 8), 0, 'a new chunk is made');
    t.equal(yield* unload_module(u.m, 'test_hmm'), -EAGAIN, 'an open device keeps the module');
    yield* ksys_close(u.m, u.fd);
    t.same(yield* u.sums(u.buf, 8), numbers(30, 8));
    t.equal(yield* load_module(u.m, 'test_hmm'), -EEXIST);
    t.equal(yield* unload_module(u.m, 'test_hmm'), 0);
    t.equal(yield* unload_module(u.m, 'test_hmm'), -ENOENT);
    t.equal(yield* do_sys_open(u.m, '/dev/hmm_dmirror0', 2, 0), -ENOENT);
  });
  t.equal(m.log.lines[0], 'added new 256 MB chunk (total 1 chunks, 256 MB) PFNs [0xfff0000 0x10000000)');
  t.end();
});

t.test('coherent devices exist with both addresses, and the CPU reads their memory where it is', (t) => {
  const start = 0x40000000;
  const config = { mem: 2048 * MIB, reserved: [{ start, size: 512 * MIB }] };
  run(config, { spm_addr_dev0: start, spm_addr_dev1: start + 256 * MIB }, function* (u) {
    yield* u.open('/dev/hmm_dmirror2', 4);
    yield* u.fill(u.buf, 4, 9);
    t.equal(yield* u.dev(TO_DEV, 4), 0);
    t.same(yield* u.sums(u.buf, 4), numbers(9, 4));
    t.same(yield* u.snapshot(4), Array(4).fill(0x42), 'still on the device');
    t.equal(yield* u.dev(TO_SYS, 4), 0);
    t.equal(yield* u.cpages(), 4);
    t.same(yield* u.snapshot(4), Array(4).fill(0x02));
  });
  run({}, { spm_addr_dev0: start }, function* (u) {
    t.equal(yield* do_sys_open(u.m, '/dev/hmm_dmirror2', 2, 0), -ENOENT, 'one address is not enough');
  });
  t.end();
});

t.test('a huge page moves as a whole, or in single pages where no huge one is to be had', (t) => {
  run({ thp: 'always' }, {}, function* (u) {
    yield* u.open('/dev/hmm_dmirror0', 512);
    const raw = yield* u.map(4 * MIB);
    const huge = Math.ceil(raw / (2 * MIB)) * 2 * MIB;
    u.buf = huge;
    yield* u.fill(huge, 512, 1000);
    t.equal((yield* u.snapshot(512))[511], 0x06, 'one pmd maps it');
    t.equal(yield* u.dev(TO_DEV, 512), 0);
    t.equal((yield* u.snapshot(512))[100], 0x26);
    t.equal(yield* user_load32(u.m, huge + 5 * PAGE), 1005, 'the CPU brings all of it back');
    t.equal((yield* u.snapshot(512))[100], 0x06);
    t.equal(yield* u.dev(FLAGS, 1), 0);
    t.equal(yield* u.dev(TO_DEV, 512), 0);
    t.equal((yield* u.snapshot(512))[100], 0x22);
    t.same(yield* u.sums(huge, 512), numbers(1000, 512));
  });
  t.end();
});
