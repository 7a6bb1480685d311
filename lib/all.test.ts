// SPDX-License-Identifier: GPL-2.0-only
// All unit tests of lib in one process, since loading the model takes longer than most of them. One file alone runs by
// `npx tap lib/mm/rmap/rmap.test.ts`; a failure names its file and line.

import { readdirSync } from 'node:fs';
import t from 'tap';

// No limit by the clock: what a loaded machine takes longer for is no failure.
t.setTimeout(0);

const here = new URL('.', import.meta.url);
for (const f of readdirSync(here, { recursive: true, encoding: 'utf8' }).sort()) {
  if (f.endsWith('.test.ts') && f !== 'all.test.ts') await import(new URL(f, here).href);
}
