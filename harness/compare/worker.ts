// SPDX-License-Identifier: GPL-2.0-only

import { end_with_parent } from '../cli/workers.ts';
import type { TestList } from '../kselftest/kselftest_harness.ts';
import { model_run } from './model.ts';
import type { Answer, Job } from './pool.ts';

/** Runs tests of a suite for the parent process, one message each, until that is gone. */
export function serve(suite: () => TestList): Promise<number> {
  end_with_parent();
  const send = (answer: Answer): void => void process.send?.(answer);
  process.on('message', ({ tests, machine }: Job) => {
    const done = model_run(suite, new Set(tests), machine, (result) => send({ result }));
    send({ done });
  });
  return new Promise(() => {});
}
