// SPDX-License-Identifier: GPL-2.0-only

import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { upstream_faults } from '../../races/upstream.ts';

const here = new URL('.', import.meta.url);
const pages = readdirSync(here).filter((name) => name.endsWith('.md') && name !== 'README.md');

t.test('every race that Linux loses has a page that says how Linux was asked', async (t) => {
  for (const { name } of upstream_faults) t.ok(pages.includes(`${name}.md`), name);
});

t.test('every page has a program, the report and a fix, and stands in the table', async (t) => {
  const table = readFileSync(new URL('README.md', here), 'utf8');
  for (const page of pages) {
    const text = readFileSync(new URL(page, here), 'utf8');
    for (const part of ['## Reproducer', 'int main(void)', '## What happens', '## Shortest fix', '```diff', 'Fixes: '])
      t.ok(text.includes(part), `${page} has ${part}`);
    t.ok(table.includes(`](${page})`), `${page} is in README.md`);
  }
});
