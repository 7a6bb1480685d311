// SPDX-License-Identifier: GPL-2.0-only

import { readFileSync } from 'node:fs';
import t from 'tap';
import { patch_index, PATCHES } from './patch_index.ts';

t.test('the index has every patch state whose file is there, and no other', (t) => {
  t.equal(readFileSync(`${PATCHES}index.ts`, 'utf8'), patch_index(), 'npm run -s regression -- index writes it');
  t.end();
});
