// SPDX-License-Identifier: GPL-2.0-only
// Where the functions of each upstream C file stand in lib. `node --import tsx harness/upstream/homes.ts` prints it.

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const LIB = fileURLToPath(new URL('../../lib', import.meta.url));

/** Homes that the name of the C file does not tell: a file, or a folder with a slash at its end. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  'drivers/base/core.c': 'fs/char_dev.ts',
  'drivers/base/map.c': 'fs/char_dev.ts',
  'fs/kernfs/file.c': 'fs/namei.ts',
  'fs/proc/base.c': 'fs/namei.ts',
  'fs/seq_file.c': 'fs/namei.ts',
  'lib/kstrtox.c': 'fs/proc/proc.ts',
  'mm/memcontrol.c': 'mm/memremap.ts',
  'drivers/base/devtmpfs.c': 'fs/namei.ts',
  'drivers/char/mem.c': 'fs/char_dev.ts',
  'fs/anon_inodes.c': 'fs/eventfd.ts',
  'fs/dcache.c': 'fs/namei.ts',
  'fs/debugfs/inode.c': 'fs/debugfs.ts',
  'fs/hugetlbfs/inode.c': 'fs/hugetlbfs.ts',
  'fs/proc/array.c': 'fs/proc/proc.ts',
  'fs/proc/meminfo.c': 'fs/proc/proc.ts',
  'fs/proc/root.c': 'fs/proc/proc.ts',
  'fs/select.c': 'fs/poll.ts',
  'kernel/futex/core.c': 'kernel/futex.ts',
  'kernel/futex/requeue.c': 'kernel/futex.ts',
  'kernel/futex/syscalls.c': 'kernel/futex.ts',
  'kernel/futex/waitwake.c': 'kernel/futex.ts',
  'kernel/module/main.c': 'kernel/module.ts',
  'kernel/printk/printk.c': 'kernel/printk.ts',
  'mm/folio-compat.c': 'mm/filemap/folio_lock.ts',
  'mm/gup_test.c': 'gup_test/gup_test.ts',
  'mm/init-mm.c': 'mm/vma/vma.ts',
  'mm/memory_hotplug.c': 'mm/memremap.ts',
};

/** What stands beside today's kernel and cites other kernels' files. */
const APART = /^(?:series|drivers|patches)\//;

const CITATION = /\b((?:[a-z0-9_-]+\/)+[A-Za-z0-9_.-]+\.c):\s+(?:struct |enum |union )?([A-Za-z_]\w*)/g;
const DOCUMENTED = /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*(?:export )?(?:function\*?|class|interface|const|let) (\w+)/g;

/** The place where a reader looks first for what upstream has in the C file. */
export function home_of(c_file: string): string {
  const elsewhere = ELSEWHERE[c_file];
  if (elsewhere !== undefined) return elsewhere;
  const stem = c_file.slice(0, -2);
  // Upstream's lib/ has no counterpart: this folder is the kernel.
  return stem.startsWith('lib/') ? stem.slice('lib/'.length) : stem;
}

/** True if the file of lib is the home, or stands in it. */
export function is_home(file: string, home: string): boolean {
  return file === home || file === `${home}.ts` || file.startsWith(`${home.replace(/\/$/, '')}/`);
}

/** The files of lib whose functions say that they follow one of the C file, by C file, with those functions. */
export function cited(): Map<string, Map<string, string[]>> {
  const found = new Map<string, Map<string, string[]>>();
  for (const file of readdirSync(LIB, { recursive: true, encoding: 'utf8' }).sort()) {
    if (!file.endsWith('.ts') || file.endsWith('.test.ts') || APART.test(file)) continue;
    const source = readFileSync(`${LIB}/${file}`, 'utf8');
    if (source.slice(0, 300).includes('NON-KERNEL throughout')) continue;
    const text = source.replace(/\n\s*\* /g, ' ');
    for (const [, comment, name] of text.matchAll(DOCUMENTED)) {
      if (comment === undefined || name === undefined || comment.includes('NON-KERNEL')) continue;
      const all = [...comment.matchAll(CITATION)];
      const own = all.find(([, , cites]) => cites === name) ?? all[0];
      if (own?.[1] === undefined) continue;
      const files = found.get(own[1]) ?? new Map<string, string[]>();
      files.set(file, [...(files.get(file) ?? []), name]);
      found.set(own[1], files);
    }
  }
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Homes outside of the rule that nothing cites any more. */
export function stale_homes(): string[] {
  const files = cited();
  return Object.keys(ELSEWHERE).filter((c_file) => !files.has(c_file));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [c_file, files] of cited()) process.stdout.write(`${c_file} -> ${[...files.keys()].join(', ')}\n`);
}
