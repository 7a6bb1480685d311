// SPDX-License-Identifier: GPL-2.0-only

import { readdirSync, readFileSync, readlinkSync, lstatSync } from 'node:fs';
import { posix } from 'node:path';
import type { root_files } from '../../lib/fs/namei.ts';

/** Links on the way to a file, at most. */
const MAX_LINKS = 40;

/** Returns the path in `dir` that an absolute path of the machine leads to, links followed within `dir`, or null. */
function resolve_in(dir: string, path: string): string | null {
  const todo = path.split('/').filter((part) => part !== '');
  let at = '';
  for (let links = 0; todo.length > 0; ) {
    const part = todo.shift() as string;
    if (part === '.') continue;
    if (part === '..') {
      at = posix.dirname(at === '' ? '/' : at).replace(/^\/$/, '');
      continue;
    }
    const next = `${at}/${part}`;
    const stat = lstatSync(dir + next, { throwIfNoEntry: false });
    if (stat === undefined) return null;
    if (!stat.isSymbolicLink()) {
      at = next;
      continue;
    }
    if (++links > MAX_LINKS) return null;
    const target = readlinkSync(dir + next);
    todo.unshift(...target.split('/').filter((it) => it !== ''));
    if (target.startsWith('/')) at = '';
  }
  return dir + at;
}

/** The files below a directory of the host as a machine's root file system. What cannot be read is not there. */
export function host_root(dir: string): root_files {
  const base = dir.replace(/\/+$/, '');
  return {
    lookup(path) {
      try {
        const real = resolve_in(base, path);
        if (real === null) return null;
        const stat = lstatSync(real === '' ? '/' : real);
        if (stat.isDirectory()) return { entries: readdirSync(real === '' ? '/' : real).sort() };
        if (!stat.isFile()) return null;
        return { mode: stat.mode & 0o777, read: () => readFileSync(real) };
      } catch (e) {
        if ((e as NodeJS.ErrnoException).code === undefined) throw e;
        return null;
      }
    },
  };
}
