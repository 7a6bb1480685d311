// SPDX-License-Identifier: GPL-2.0-only

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const LIB = fileURLToPath(new URL('../../lib', import.meta.url));

/** Files whose code others test: types, data, tests' own helpers, and a processor that is tested as a whole. */
const NONE_OF_ITS_OWN =
  /(?:\.test|\.d|testing)\.ts$|^patches\/|^kernel\/(?:gen|signal_types)\.ts$|^index\.ts$|^arch\/x86\/user\/|^user\/uapi\.ts$/;

t.test('a unit test stands beside every file of lib', (t) => {
  for (const file of readdirSync(LIB, { recursive: true, encoding: 'utf8' }).sort()) {
    if (!file.endsWith('.ts') || NONE_OF_ITS_OWN.test(file)) continue;
    const has = existsSync(`${LIB}/${file.replace(/\.ts$/, '.test.ts')}`);
    if (!has) t.fail(`lib/${file} has no test beside it`);
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
