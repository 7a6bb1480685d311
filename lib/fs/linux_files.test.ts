// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { O_RDONLY, O_WRONLY } from './fs.ts';
import { linux_may_have, listed_paths } from './linux_files.ts';
import { path_openat } from './namei.ts';
import { load_module } from '../kernel/module.ts';
import { run_process, small_machine } from '../kernel/testing.ts';
import { Unmodelled } from '../unmodelled.ts';

const ENOENT = '-2';

/** What each path comes to: 'file', an errno, or 'unmodelled', which names the path. */
function outcomes(paths: readonly string[], flags = O_RDONLY): string[] {
  const m = small_machine();
  const out: string[] = [];
  run_process(m, function* () {
    yield* load_module(m, 'test_hmm', {});
    for (const path of paths) {
      try {
        const f = yield* path_openat(m, path, flags, 0);
        out.push(typeof f === 'number' ? String(f) : 'file');
      } catch (e) {
        out.push(e instanceof Unmodelled && e.message.includes(path) ? 'unmodelled' : String(e));
      }
    }
  });
  return out;
}

t.test('a file that Linux has below /proc or /sys is modelled or named, never denied', (t) => {
  const paths = listed_paths();
  t.ok(paths.length > 400);
  const found = outcomes(paths);
  t.same(
    paths.filter((_, k) => found[k] === ENOENT || !/^(file|unmodelled|-\d+)$/.test(found[k])),
    [],
  );
  t.same(outcomes(['/proc/meminfo', '/proc/vmallocinfo', '/sys/class/tty', '/sys/devices/system/cpu/online']), [
    'file',
    'unmodelled',
    'unmodelled',
    'unmodelled',
  ]);
  t.same(outcomes(['/sys/kernel/mm/swap/vma_ra_enabled'], O_WRONLY), ['unmodelled']);
  t.end();
});

t.test('one that the recorded kernel lacks does not exist', (t) => {
  for (const path of ['/proc/kcore', '/proc/sys/vm/none', '/sys/kernel/mm/none/run', '/sys/kernel/debug/none'])
    t.same(outcomes([path]), [ENOENT], path);
  t.equal(linux_may_have('/proc/irq/17/node'), true);
  t.equal(linux_may_have('/tmp/x'), false);
  t.end();
});
