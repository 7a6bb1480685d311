// SPDX-License-Identifier: GPL-2.0-only
// The harness's self-test once more, on the modelled kernel: real processes, signals, page faults and time.

import { readFileSync } from 'node:fs';
import t from 'tap';
import { boot } from '../../lib/boot.ts';
import { runProgram } from '../../lib/user/libc.ts';
import { WEXITSTATUS } from '../../lib/user/uapi.ts';
import { harness_selftest } from './harness-selftest.ts';
import { runSuite } from './kselftest_harness.ts';

t.test('tests that fail, skip, time out and crash end on the modelled kernel as they do on Linux', async (t) => {
  const m = boot();
  let out = '';
  const status = runProgram(
    m,
    (c) => runSuite(c, harness_selftest, []),
    (text) => void (out += text),
  );
  t.equal(
    out.replace(/^(# harness-selftest\.c):\d+:/gm, '$1:N:'),
    readFileSync(new URL('harness-selftest.expected', import.meta.url), 'utf8'),
  );
  t.equal(WEXITSTATUS(status), 1);
  t.same(m.log.oopses, [], 'a program that crashes is no fault of the kernel');
  t.ok(m.sched.now >= 2e9, 'both variants of the test that hangs took their second of modelled time');
});
