// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../boot.ts';
import { ENOENT, ENOTDIR } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import { Unmodelled } from '../unmodelled.ts';
import { DIRECTORIES, DT_CHR, DT_DIR, DT_REG, is_directory, normalize } from './namei.ts';

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
  for (const d of DIRECTORIES) {
    if (d !== '/' && d.startsWith(prefix) && !d.slice(prefix.length).includes('/'))
      found.set(d.slice(prefix.length), DT_DIR);
  }
  return [...found].map(([d_name, d_type]) => ({ d_name, d_type }));
}
