// SPDX-License-Identifier: GPL-2.0-only
// By which a compiled program says where its race begins and ends. NON-KERNEL throughout.

import type { Machine } from '../machine.ts';
import { EINVAL } from '../errno.ts';
import {
  alloc_chrdev_region,
  cdev,
  cdev_device_add,
  cdev_device_del,
  cdev_init,
  dev_set_name,
  device,
  device_initialize,
  unregister_chrdev_region,
} from '../fs/char_dev.ts';
import type { file, file_operations } from '../fs/fs.ts';
import type { Gen } from '../kernel/gen.ts';
import type { Module } from '../kernel/module.ts';

const NAME = 'race_driver';

class race_state {
  readonly cdev = new cdev();
  readonly device = new device();
  devt = 0;
}

const fops: file_operations = {
  /** Two bytes or more begin the race, one ends it. */
  *write(m: Machine, _filp: file, _buf: number, count: number): Gen<number> {
    if (count === 0) return -EINVAL;
    m.sched.explore = count > 1;
    return count;
  },
};

function* race_init(m: Machine): Gen<number> {
  const s = new race_state();
  s.devt = alloc_chrdev_region(m, 0, 1, NAME);
  cdev_init(s.cdev, fops);
  device_initialize(s.device);
  s.device.devt = s.devt;
  dev_set_name(s.device, 'race');
  m.modules.data.set(NAME, s);
  return cdev_device_add(m, s.cdev, s.device);
}

function* race_exit(m: Machine): Gen<void> {
  const s = m.modules.data.get(NAME) as race_state;
  cdev_device_del(m, s.cdev, s.device);
  unregister_chrdev_region(m, s.devt, 1);
  m.modules.data.delete(NAME);
}

/** The module: /dev/race. While a race is on, the scheduler is asked at every access of user code and in the kernel. */
export const race_driver: Module = {
  name: NAME,
  params: [],
  init: race_init,
  exit: race_exit,
  users: () => 0,
  held_folios: () => undefined,
};
