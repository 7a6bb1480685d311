// SPDX-License-Identifier: GPL-2.0-only

import { spawn } from 'node:child_process';
import t from 'tap';
import { processor_seconds } from './processor_time.ts';

t.test('a process that works uses processor time, one that waits does not', async (t) => {
  const before = processor_seconds(process.pid);
  const until = process.cpuUsage().user + 200_000;
  while (process.cpuUsage().user < until);
  const used = processor_seconds(process.pid) - before;
  t.ok(used > 0.1, `${used} s`);
  const waits = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 100000)']);
  await new Promise((resume) => setTimeout(resume, 500));
  const at_rest = processor_seconds(waits.pid);
  t.ok(at_rest < 5);
  waits.kill();
  await new Promise((resume) => waits.on('exit', resume));
  t.equal(processor_seconds(waits.pid), 0, 'one that is gone');
});
