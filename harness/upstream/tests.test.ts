// SPDX-License-Identifier: GPL-2.0-only

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const LIB = fileURLToPath(new URL('../../lib', import.meta.url));

/** Files whose code others test: types, data, tests' own helpers, and a processor that is tested as a whole. */
const NONE_OF_ITS_OWN =
  /(?:\.test|\.d|testing)\.ts$|^patches\/|^kernel\/gen\.ts$|^index\.ts$|^arch\/x86\/user\/|^user\/uapi\.ts$/;

/** Files that only whole programs test so far: what a compiled program needs of a kernel. */
const ONLY_BY_PROGRAMS = new Set([
  'arch/x86/entry/user_entry.ts',
  'arch/x86/kernel/process.ts',
  'arch/x86/kernel/process_64.ts',
  'arch/x86/kernel/signal.ts',
  'arch/x86/kernel/signal_64.ts',
  'drivers/char/random.ts',
  'fs/binfmt_elf.ts',
  'fs/d_path.ts',
  'fs/fcntl.ts',
  'fs/pipe.ts',
  'fs/stat.ts',
  'kernel/fork/mm_release.ts',
  'kernel/rseq.ts',
  'kernel/signal_types.ts',
  'kernel/time/posix-timers.ts',
  'kernel/time/time.ts',
  'mm/memfd.ts',
]);

t.test('a unit test stands beside every file of lib', (t) => {
  for (const file of readdirSync(LIB, { recursive: true, encoding: 'utf8' }).sort()) {
    if (!file.endsWith('.ts') || NONE_OF_ITS_OWN.test(file)) continue;
    const has = existsSync(`${LIB}/${file.replace(/\.ts$/, '.test.ts')}`);
    if (ONLY_BY_PROGRAMS.has(file)) t.notOk(has, `lib/${file} has a test now: take it off the list`);
    else if (!has) t.fail(`lib/${file} has no test beside it`);
  }
  t.end();
});

t.test('a test belongs to a file, or says at its top what it is about', (t) => {
  for (const file of readdirSync(LIB, { recursive: true, encoding: 'utf8' }).sort()) {
    if (!file.endsWith('.test.ts') || existsSync(`${LIB}/${file.replace(/\.test\.ts$/, '.ts')}`)) continue;
    t.match(readFileSync(`${LIB}/${file}`, 'utf8').split('\n')[1], /^\/\/ \S/, `lib/${file}`);
  }
  t.end();
});
