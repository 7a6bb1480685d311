// SPDX-License-Identifier: GPL-2.0-only

import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { Test } from 'tap';
import { read_recording } from '../../harness/replay/format.ts';
import { do_tasks, type Task } from '../../harness/replay/jobs.ts';

const slow = process.env.SLOW === '1';

function recordings(name: string): Task[] {
  const path = fileURLToPath(new URL(name, import.meta.url));
  return read_recording(path).map((program): Task => ({ mode: 'replay', program, file: `selftests/programs/${name}` }));
}

async function replay(t: Test, tasks: Task[]): Promise<void> {
  const reports: string[] = [];
  await do_tasks(tasks, 2, ({ outcome }) => {
    if (!outcome.identical) reports.push(outcome.report);
    return false;
  });
  for (const report of reports) t.comment(report);
  t.equal(reports.length, 0, `${tasks.length} programs are answered as Linux answers them`);
}

t.test('the model answers the sample op by op as Linux does', async (t) => {
  const tasks = recordings('sample.jsonl.gz');
  const configurations = new Set(tasks.map(({ program }) => `${program.config.thp} ${program.config.spm}`));
  t.same([...configurations].sort(), ['always true', 'madvise true', 'never false']);
  t.equal(new Set(tasks.map(({ program }) => program.theme)).size, 8, 'every theme');
  await replay(t, tasks);
});

t.test('and a part of the programs with the later ops', async (t) => {
  const tasks = recordings('grown.jsonl.gz');
  const names = new Set(tasks.flatMap(({ program }) => program.ops.map((op) => op.split(' ')[1])));
  for (const name of ['resize', 'mincore', 'pvread', 'memread', 'memwrite', 'kpage', 'marks', 'uwp', 'wp'])
    t.ok(names.has(name), name);
  await replay(
    t,
    tasks.filter((_, i) => slow || i % 25 === 0),
  );
});

t.test('and the other programs', { skip: slow ? false : 'only with SLOW=1' }, async (t) => {
  await replay(t, recordings('more.jsonl.gz'));
});
