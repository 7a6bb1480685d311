// SPDX-License-Identifier: GPL-2.0-only

import { UsageError } from './options.ts';

/**
 * The frame of a command-line program: `body` answers the exit status (1 for a comparison or test that failed). What
 * the caller did wrong exits with 2 and a message, an error of the program itself with 3 and its stack.
 */
export function run_program(name: string, body: () => number | Promise<number>): void {
  // A reader that goes away early, such as head(1), is no error of ours.
  process.stdout.on('error', (e: NodeJS.ErrnoException) => process.exit(e.code === 'EPIPE' ? 0 : 3));
  Promise.resolve()
    .then(body)
    .then(
      (code) => {
        process.exitCode = code;
      },
      (e: unknown) => {
        const usage = e instanceof UsageError;
        process.stderr.write(
          `${name}: ${usage ? e.message.trimEnd() : e instanceof Error ? (e.stack ?? e.message) : String(e)}\n`,
        );
        process.exitCode = usage ? 2 : 3;
      },
    );
}
