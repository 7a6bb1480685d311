// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_memset, user_store32 } from '../arch/x86/mm/uaccess.ts';
import { boot } from '../boot.ts';
import type { Machine, MachineConfig } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { run_clean, small_machine } from '../kernel/testing.ts';
import {
  alloc_chrdev_region,
  cdev,
  cdev_add,
  cdev_del,
  cdev_device_add,
  cdev_device_del,
  cdev_init,
  cdev_lookup,
  dev_set_name,
  device,
  device_initialize,
  MAJOR,
  MINOR,
  MKDEV,
  register_chrdev_region,
  unregister_chrdev_region,
} from './char_dev.ts';
import { do_sys_open } from './open.ts';
import { ksys_read, ksys_write } from './read_write.ts';

const PAGE = 4096;
const BUF = 0x300000000;
const [R, RW, SHARED, PRIVATE, FIXED, ANON] = [1, 3, 1, 2, 0x10, 0x20];
const [O_RDWR, ENOENT, EFAULT, EBUSY, EINVAL] = [2, -2, -14, -16, -22];

function run(body: (m: Machine) => Gen<void>, config: MachineConfig = {}): void {
  run_clean(t, small_machine(config), function* (m) {
    yield* sys_mmap(m, BUF, 2 * PAGE, RW, PRIVATE | FIXED | ANON, -1, 0);
    yield* body(m);
  });
}

t.test('a device number has 20 bits of minor', (t) => {
  t.equal(MKDEV(254, 3), 0xfe00003);
  t.same([MAJOR(0xfe00003), MINOR(0xfe00003)], [254, 3]);
  t.same([MAJOR(MKDEV(511, 0xfffff)), MINOR(MKDEV(511, 0xfffff))], [511, 0xfffff]);
  t.end();
});

t.test(
  'ranges of numbers do not overlap, and majors are handed out from 254 down to 234, then from 511 down to 384',
  (t) => {
    const m = boot({ mem: 64 * 1024 * 1024, thp: 'never' });
    t.equal(register_chrdev_region(m, MKDEV(1, 5), 1, 'zero again'), EBUSY, 'the memory devices have all of major 1');
    t.equal(register_chrdev_region(m, MKDEV(240, 4), 4, 'a'), 0);
    t.equal(register_chrdev_region(m, MKDEV(240, 7), 1, 'b'), EBUSY);
    t.equal(register_chrdev_region(m, MKDEV(240, 2), 3, 'b'), EBUSY);
    t.equal(register_chrdev_region(m, MKDEV(240, 8), 1, 'b'), 0, 'beside it');
    t.equal(register_chrdev_region(m, MKDEV(240, 0), 4, 'c'), 0);
    unregister_chrdev_region(m, MKDEV(240, 4), 4);
    t.equal(register_chrdev_region(m, MKDEV(240, 5), 1, 'd'), 0);

    const majors: number[] = [];
    for (let i = 0; i < 20 + 128; i++) majors.push(MAJOR(alloc_chrdev_region(m, 7, 1, 'dynamic')));
    t.same(majors.slice(0, 4), [254, 253, 252, 251]);
    t.notOk(majors.includes(240));
    t.same(majors.slice(18, 22), [235, 234, 511, 510]);
    t.equal(majors[147], 384);
    t.equal(alloc_chrdev_region(m, 0, 1, 'one too many'), EBUSY);
    t.end();
  },
);

t.test('a cdev answers for its numbers while it is added, and its device has a node', (t) => {
  run(function* (m) {
    const c = new cdev();
    cdev_init(c, {});
    t.equal(cdev_add(m, c, MKDEV(200, 10), 3), 0);
    t.same(
      [9, 10, 12, 13].map((minor) => cdev_lookup(m, MKDEV(200, minor)) === c),
      [false, true, true, false],
    );
    cdev_del(m, c);
    t.equal(cdev_lookup(m, MKDEV(200, 10)), null);

    const dev = new device();
    device_initialize(dev);
    dev.devt = MKDEV(201, 0);
    t.equal(cdev_device_add(m, c, dev), EINVAL, 'without a name');
    t.equal(cdev_lookup(m, MKDEV(201, 0)), null);
    dev_set_name(dev, 'thing');
    t.equal(cdev_device_add(m, c, dev), 0);
    t.ok((yield* do_sys_open(m, '/dev/thing', O_RDWR, 0)) >= 0);
    cdev_device_del(m, c, dev);
    t.equal(yield* do_sys_open(m, '/dev/thing', O_RDWR, 0), ENOENT);
  });
  t.end();
});

t.test('/dev/zero: reading stops where memory does, and its mappings are private or shared memory', (t) => {
  run(function* (m) {
    const zero = yield* do_sys_open(m, '/dev/zero', O_RDWR, 0);
    yield* user_memset(m, BUF, 0xff, 2 * PAGE);
    t.equal(yield* ksys_read(m, zero, BUF + PAGE, 2 * PAGE), PAGE, 'only one page was there');
    t.equal(yield* user_load32(m, BUF + PAGE), 0);
    t.equal(yield* ksys_read(m, zero, BUF + 2 * PAGE, 8), EFAULT);
    t.equal(yield* ksys_read(m, zero, BUF + 2 * PAGE, 0), 0);
    t.equal(yield* ksys_write(m, zero, 0x1000, 77), 77, 'what is written is not even looked at');

    const own = yield* sys_mmap(m, 0, PAGE, RW, PRIVATE, zero, 0);
    yield* user_store32(m, own, 5);
    t.equal(yield* user_load32(m, own), 5);
    const one = yield* sys_mmap(m, 0, PAGE, RW, SHARED, zero, 0);
    const two = yield* sys_mmap(m, 0, PAGE, R, SHARED, zero, 0);
    yield* user_store32(m, one, 6);
    t.equal(yield* user_load32(m, two), 0, 'each shared mapping has memory of its own');
  });
  t.end();
});

t.test('/dev/urandom follows the seed of the machine', (t) => {
  const words: number[] = [];
  for (const seed of [1, 1, 2]) {
    run(
      function* (m) {
        const fd = yield* do_sys_open(m, '/dev/urandom', 0, 0);
        t.equal(yield* ksys_read(m, fd, BUF, 2 * PAGE + 1), 2 * PAGE);
        t.equal(yield* ksys_read(m, fd, 0x1000, 1), EFAULT);
        words.push(yield* user_load32(m, BUF + PAGE));
      },
      { seed },
    );
  }
  t.equal(words[0], words[1]);
  t.not(words[0], words[2]);
  t.end();
});
