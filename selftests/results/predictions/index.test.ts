// SPDX-License-Identifier: GPL-2.0-only

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { read_recording } from '../../../harness/replay/format.ts';
import { do_tasks, type Task } from '../../../harness/replay/jobs.ts';
import { predictions } from './index.ts';

const here = new URL('.', import.meta.url);
const text = readFileSync(new URL('README.md', here), 'utf8');

t.test('what the model predicts is what Linux answered', async (t) => {
  const tasks = predictions.flatMap(({ file, patches }) =>
    read_recording(fileURLToPath(new URL(file, here))).map(
      (program): Task => ({ mode: 'replay', program, patches, file: `selftests/results/predictions/${file}` }),
    ),
  );
  const reports: string[] = [];
  await do_tasks(tasks, 2, ({ outcome }) => {
    if (!outcome.identical) reports.push(outcome.report);
    return false;
  });
  for (const report of reports) t.comment(report);
  t.equal(reports.length, 0, `${tasks.length} programs`);
});

t.test('every recording is in the list, and every program and file in the table', async (t) => {
  const files = readdirSync(here).filter((name) => name.includes('.jsonl'));
  t.same(files.sort(), predictions.map(({ file }) => file).sort());
  for (const { file } of predictions) {
    t.ok(text.includes(`\`${file}\``), `${file} is in README.md`);
    for (const { id } of read_recording(fileURLToPath(new URL(file, here))))
      t.ok(text.includes(`\`${id}\``), `${id} of ${file} is in README.md`);
  }
});
