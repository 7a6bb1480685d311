// SPDX-License-Identifier: GPL-2.0-only

import type { Binary } from '../run/options.ts';
import { UsageError } from '../cli/usage_error.ts';
import { end_with_parent } from '../cli/workers.ts';
import type { TestList } from '../kselftest/kselftest_harness.ts';
import { model_run } from './model.ts';
import type { Answer, Job } from './pool.ts';

/** Runs tests of a suite, or of its binary, for the parent process, one message each, until that is gone. */
export function serve(suite: () => TestList, binary?: Binary): Promise<number> {
  end_with_parent();
  const send = (answer: Answer): void => void process.send?.(answer);
  process.on('message', ({ tests, machine, steps_of }: Job) => {
    send({ begun: true });
    try {
      const on_result = (result: string): void => send({ result });
      send({ done: model_run(suite, new Set(tests), machine, { on_result, steps_of, binary }) });
    } catch (e) {
      if (!(e instanceof UsageError)) throw e;
      send({ mistake: e.message });
    }
  });
  return new Promise(() => {});
}
