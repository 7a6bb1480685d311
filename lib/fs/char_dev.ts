// SPDX-License-Identifier: GPL-2.0-only

import { clear_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EBUSY, EFAULT, EINVAL, ENXIO } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { thp_get_unmapped_area } from '../mm/huge_memory/unmapped_area.ts';
import { VM_MAYSHARE } from '../mm/mm_types.ts';
import { PAGE_SIZE } from '../mm/physmem.ts';
import { shmem_get_unmapped_area, shmem_zero_setup } from '../mm/shmem.ts';
import { alloc_file } from './file_table.ts';
import { type file, type file_operations, FMODE_LSEEK, FMODE_PREAD, FMODE_PWRITE, type inode } from './fs.ts';
import { iput } from './inode.ts';
import { devtmpfs_create_node, devtmpfs_delete_node } from './namei.ts';

const MINORBITS = 20;
const MAP_SHARED = 1;
/** ranges of dynamic majors, each tried from the top (include/linux/fs.h: CHRDEV_MAJOR_DYN_END) */
const CHRDEV_MAJOR_DYN = [
  [254, 234],
  [511, 384],
] as const;

/** A reserved range of device numbers. NON-KERNEL form of fs/char_dev.c's char_device_struct. */
interface char_device_struct {
  readonly from: number;
  readonly count: number;
  readonly name: string;
}

/** A character device (include/linux/cdev.h: struct cdev). */
export class cdev {
  ops: file_operations | null = null;
  dev = 0;
  count = 0;
  /** open files */
  users = 0;
}

/** The part of a device that names its node in /dev (include/linux/device.h: struct device). */
export class device {
  devt = 0;
  name = '';
}

/** Reserved device numbers and registered character devices, in m.vfs. NON-KERNEL. */
export class chrdev_state {
  readonly chrdevs: char_device_struct[] = [];
  readonly cdev_map: cdev[] = [];
}

/** include/linux/kdev_t.h: MKDEV() */
export function MKDEV(ma: number, mi: number): number {
  return ma * (1 << MINORBITS) + mi;
}

/** include/linux/kdev_t.h: MAJOR() */
export function MAJOR(dev: number): number {
  return Math.floor(dev / (1 << MINORBITS));
}

/** include/linux/kdev_t.h: MINOR() */
export function MINOR(dev: number): number {
  return dev % (1 << MINORBITS);
}

/** Reserves the given device numbers. Returns 0 or -EBUSY (fs/char_dev.c: register_chrdev_region()). */
export function register_chrdev_region(m: Machine, from: number, count: number, name: string): number {
  const all = m.vfs.chrdev.chrdevs;
  if (all.some((c) => from < c.from + c.count && c.from < from + count)) return -EBUSY;
  all.push({ from, count, name });
  return 0;
}

/** Reserves device numbers of a free major. Returns the first one or -EBUSY (fs/char_dev.c: alloc_chrdev_region()). */
export function alloc_chrdev_region(m: Machine, baseminor: number, count: number, name: string): number {
  for (const [first, last] of CHRDEV_MAJOR_DYN) {
    for (let major = first; major >= last; major--) {
      if (m.vfs.chrdev.chrdevs.some((c) => MAJOR(c.from) === major)) continue;
      const from = MKDEV(major, baseminor);
      m.vfs.chrdev.chrdevs.push({ from, count, name });
      return from;
    }
  }
  return -EBUSY;
}

/** Releases reserved device numbers (fs/char_dev.c: unregister_chrdev_region()). */
export function unregister_chrdev_region(m: Machine, from: number, count: number): void {
  const all = m.vfs.chrdev.chrdevs;
  const i = all.findIndex((c) => c.from === from && c.count === count);
  if (i >= 0) all.splice(i, 1);
}

/** Sets the operations of a cdev (fs/char_dev.c: cdev_init()). */
export function cdev_init(c: cdev, fops: file_operations): void {
  c.ops = fops;
}

/** Registers a cdev for its device numbers (fs/char_dev.c: cdev_add()). */
export function cdev_add(m: Machine, p: cdev, dev: number, count: number): number {
  p.dev = dev;
  p.count = count;
  m.vfs.chrdev.cdev_map.push(p);
  return 0;
}

/** Unregisters a cdev: new opens fail, open files stay (fs/char_dev.c: cdev_del()). */
export function cdev_del(m: Machine, p: cdev): void {
  const map = m.vfs.chrdev.cdev_map;
  const i = map.indexOf(p);
  if (i >= 0) map.splice(i, 1);
}

/** Returns the cdev of a device number, or null (drivers/base/map.c: kobj_lookup()). */
export function cdev_lookup(m: Machine, dev: number): cdev | null {
  return m.vfs.chrdev.cdev_map.find((c) => dev >= c.dev && dev < c.dev + c.count) ?? null;
}

/** Initialises a device (drivers/base/core.c: device_initialize()). */
export function device_initialize(dev: device): void {
  dev.name = '';
}

/** Sets the name of a device's node (drivers/base/core.c: dev_set_name()). Leaves out format strings. */
export function dev_set_name(dev: device, name: string): number {
  dev.name = name;
  return 0;
}

/** Registers a cdev and its node in /dev. Returns 0, or -EINVAL without a name (fs/char_dev.c: cdev_device_add()). */
export function cdev_device_add(m: Machine, c: cdev, dev: device): number {
  if (dev.name === '') return -EINVAL;
  const ret = cdev_add(m, c, dev.devt, 1);
  if (ret !== 0) return ret;
  devtmpfs_create_node(m, dev.name, dev.devt);
  return 0;
}

/** Undoes cdev_device_add() (fs/char_dev.c: cdev_device_del()). */
export function cdev_device_del(m: Machine, c: cdev, dev: device): void {
  devtmpfs_delete_node(m, dev.name);
  cdev_del(m, c);
}

/** /dev/null (drivers/char/mem.c: null_fops) */
const null_fops: file_operations = {
  *read(): Gen<number> {
    return 0;
  },
  *write(_m, _f, _buf, count): Gen<number> {
    return count;
  },
};

/** /dev/zero (drivers/char/mem.c: zero_fops) */
const zero_fops: file_operations = {
  *read(m, _f, buf, count): Gen<number> {
    const left = yield* clear_user(m, buf, count);
    const done = count - left;
    return done > 0 || count === 0 ? done : -EFAULT;
  },
  *write(_m, _f, _buf, count): Gen<number> {
    return count;
  },
  *mmap(m, _f, vma): Gen<number> {
    if (vma.vm_flags & VM_MAYSHARE) return shmem_zero_setup(m, vma);
    vma.vm_ops = null;
    return 0;
  },
  get_unmapped_area: (m, f, addr, len, pgoff, flags) =>
    flags & MAP_SHARED
      ? shmem_get_unmapped_area(m, null, addr, len, pgoff, flags)
      : thp_get_unmapped_area(m, f, addr, len, pgoff, flags),
};

/** /dev/random and /dev/urandom. NON-KERNEL: from the machine's own random numbers. */
const urandom_fops: file_operations = {
  *read(m, _f, buf, count): Gen<number> {
    let done = 0;
    while (done < count) {
      const bytes = new Uint8Array(Math.min(PAGE_SIZE, count - done));
      for (let i = 0; i < bytes.length; i += 4) {
        const r = m.sched.strategy.random_u32();
        for (let k = 0; k < 4 && i + k < bytes.length; k++) bytes[i + k] = (r >>> (8 * k)) & 0xff;
      }
      const left = yield* copy_to_user(m, buf + done, bytes, bytes.length);
      done += bytes.length - left;
      if (left > 0) break;
    }
    return done > 0 || count === 0 ? done : -EFAULT;
  },
  *write(_m, _f, _buf, count): Gen<number> {
    return count;
  },
};

/** Registers the memory devices of major 1: null, zero, random and urandom (drivers/char/mem.c: chr_dev_init()). */
export function chr_dev_init(m: Machine): void {
  register_chrdev_region(m, MKDEV(1, 0), 256, 'mem');
  const devices: [number, string, file_operations][] = [
    [3, 'null', null_fops],
    [5, 'zero', zero_fops],
    [8, 'random', urandom_fops],
    [9, 'urandom', urandom_fops],
  ];
  for (const [minor, name, fops] of devices) {
    const c = new cdev();
    const dev = new device();
    cdev_init(c, fops);
    device_initialize(dev);
    dev.devt = MKDEV(1, minor);
    dev_set_name(dev, name);
    cdev_device_add(m, c, dev);
  }
}

/**
 * Opens the driver of a device's inode. Returns the file or -errno, -ENXIO without a driver (fs/char_dev.c:
 * chrdev_open()).
 */
export function* chrdev_open(m: Machine, node: inode, path: string, flags: number): Gen<file | number> {
  const p = node.i_cdev ?? cdev_lookup(m, node.i_rdev);
  if (p === null || p.ops === null) return -ENXIO;
  node.i_cdev = p;
  const ops = p.ops;
  const owner = ops.owner;
  if (owner !== undefined) owner.refcount++;
  p.users++;
  const release = ops.release;
  const fops: file_operations = {
    ...ops,
    *release(mm, i, f): Gen<number> {
      const ret = release === undefined ? 0 : yield* release(mm, i, f);
      p.users--;
      if (owner !== undefined) owner.refcount--;
      return ret;
    },
  };
  const f = alloc_file(m, node, path, flags, fops);
  f.f_mode |= FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE;
  const ret = ops.open === undefined ? 0 : yield* ops.open(m, node, f);
  if (ret !== 0) {
    p.users--;
    if (owner !== undefined) owner.refcount--;
    yield* iput(m, node);
    return ret;
  }
  return f;
}
