// SPDX-License-Identifier: GPL-2.0-only
// process_mrelease(2) for modelled programs, whose libc lacks the call. NON-KERNEL throughout.

import type { Machine } from '../machine.ts';
import {
  alloc_chrdev_region,
  cdev,
  cdev_device_add,
  cdev_device_del,
  cdev_init,
  dev_set_name,
  device,
  device_initialize,
  MKDEV,
  unregister_chrdev_region,
} from '../fs/char_dev.ts';
import type { file, file_operations } from '../fs/fs.ts';
import type { Gen } from '../kernel/gen.ts';
import type { Module } from '../kernel/module.ts';
import { process_mrelease } from '../mm/oom_kill.ts';

const NAME = 'mrelease_driver';

class mrelease_state {
  readonly cdev = new cdev();
  readonly device = new device();
  devt = 0;
}

function* mrelease_ioctl(m: Machine, _filp: file, _command: number, pidfd: number): Gen<number> {
  return yield* process_mrelease(m, pidfd, 0);
}

const fops: file_operations = {
  unlocked_ioctl: mrelease_ioctl,
};

function* mrelease_init(m: Machine): Gen<number> {
  const s = new mrelease_state();
  s.devt = alloc_chrdev_region(m, 0, 1, NAME);
  cdev_init(s.cdev, fops);
  device_initialize(s.device);
  s.device.devt = s.devt + MKDEV(0, 0);
  dev_set_name(s.device, 'mrelease');
  m.modules.data.set(NAME, s);
  return cdev_device_add(m, s.cdev, s.device);
}

function* mrelease_exit(m: Machine): Gen<void> {
  const s = m.modules.data.get(NAME) as mrelease_state;
  cdev_device_del(m, s.cdev, s.device);
  unregister_chrdev_region(m, s.devt, 1);
  m.modules.data.delete(NAME);
}

/** The module: /dev/mrelease, whose ioctls take a pidfd and call process_mrelease(2) without flags. */
export const mrelease_driver: Module = {
  name: NAME,
  params: [],
  init: mrelease_init,
  exit: mrelease_exit,
  users: () => 0,
  held_folios: () => undefined,
};
