// SPDX-License-Identifier: GPL-2.0-only

import { copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EBADF, EFAULT, EINVAL, ENOENT, ENOTDIR } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { Unmodelled } from '../unmodelled.ts';
import { fget } from './file.ts';
import { fput } from './file_table.ts';
import { DIRECTORIES, DT_CHR, DT_DIR, DT_REG, DT_UNKNOWN, is_directory, normalize } from './namei.ts';

const DIRENT64_NAME = 19;

/** getdents64(2): the position counts entries (fs/readdir.c: getdents64()). */
export function* sys_getdents64(m: Machine, fd: number, dirent: number, count: number): Gen<number> {
  const f = fget(m, fd);
  if (f === null) return -EBADF;
  const list = yield* do_scandir(m, f.path);
  fput(m, f);
  if (typeof list === 'number') return list;
  const encoder = new TextEncoder();
  let done = 0;
  for (let k = f.f_pos; k < list.length; k++) {
    const { d_name, d_type } = list[k];
    const name = encoder.encode(d_name);
    const len = Math.ceil((DIRENT64_NAME + name.length + 1) / 8) * 8;
    if (done + len > count) {
      if (done === 0) return -EINVAL;
      break;
    }
    const bytes = new Uint8Array(len);
    const v = new DataView(bytes.buffer);
    v.setBigUint64(0, BigInt(k + 1), true);
    v.setBigInt64(8, BigInt(k + 1), true);
    v.setUint16(16, len, true);
    v.setUint8(18, d_type);
    bytes.set(name, DIRENT64_NAME);
    if ((yield* copy_to_user(m, dirent + done, bytes, len)) !== 0) return -EFAULT;
    done += len;
    f.f_pos = k + 1;
  }
  return done;
}

/** Returns the entries of a directory in order of listing, or -errno. NON-KERNEL (fs/readdir.c: getdents64()). */
export function* do_scandir(m: Machine, name: string): Gen<{ d_name: string; d_type: number }[] | number> {
  const path = normalize(name);
  if (!is_directory(m, path)) return m.vfs.nodes.has(path) ? -ENOTDIR : -ENOENT;
  if (/^\/proc(\/(self|\d+))?$/.test(path)) throw new Unmodelled(`fs/proc/base.c: proc_pid_readdir() of ${path}`);
  const prefix = path === '/' ? '/' : `${path}/`;
  const found = new Map<string, number>([
    ['.', DT_DIR],
    ['..', DT_DIR],
  ]);
  for (const [p, v] of m.vfs.nodes) {
    if (!p.startsWith(prefix)) continue;
    const rest = p.slice(prefix.length).split('/');
    found.set(rest[0], rest.length > 1 ? DT_DIR : v.kind === 'chr' ? DT_CHR : DT_REG);
  }
  const in_root = m.vfs.root?.lookup(path) ?? null;
  if (in_root !== null && 'entries' in in_root)
    for (const name of in_root.entries) if (!found.has(name)) found.set(name, DT_UNKNOWN);
  for (const d of DIRECTORIES) {
    if (d !== '/' && d.startsWith(prefix) && !d.slice(prefix.length).includes('/'))
      found.set(d.slice(prefix.length), DT_DIR);
  }
  return [...found].map(([d_name, d_type]) => ({ d_name, d_type }));
}
