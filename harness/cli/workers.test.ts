// SPDX-License-Identifier: GPL-2.0-only

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';

const WORKERS = new URL('workers.ts', import.meta.url).href;

const gone = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
};

t.test('a worker in an endless loop ends when its parent is killed', async (t) => {
  const dir = t.testdir({
    'worker.mts': `
      import { end_with_parent } from '${WORKERS}';
      end_with_parent();
      process.on('message', () => { for (;;) ; });
      process.send('ready');`,
    'parent.mts': `
      import { start_worker } from '${WORKERS}';
      const child = start_worker(new URL('worker.mts', import.meta.url));
      child.on('message', () => { child.send('loop'); console.log(child.pid); });`,
  });
  const parent = spawn(process.execPath, ['--import=tsx', `${dir}/parent.mts`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = (await once(parent.stdout, 'data')) as [Buffer];
  const pid = Number(said.toString());
  t.notOk(gone(pid), 'it runs');
  parent.kill('SIGKILL');
  // tap's own limit ends a test that waits in vain.
  while (!gone(pid)) await new Promise((resume) => setTimeout(resume, 100));
  t.pass('it is gone');
});
