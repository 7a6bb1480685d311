// SPDX-License-Identifier: GPL-2.0-only

import { UsageError } from './usage_error.ts';

/** What the system says in words; other errors go by their name. */
const IN_WORDS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
  ENOENT: 'there is no such file or folder',
  ENOSPC: 'no space left on the device',
  ENOTDIR: 'a part of the path is no directory',
  EPERM: 'not permitted',
  EROFS: 'the file system is read-only',
};

/** The error of a system call on a file, in one line that names it, or null for any other error. */
export function system_error(e: unknown): string | null {
  if (!(e instanceof Error)) return null;
  const { code, syscall, path } = e as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return null;
  return `${path ?? `system call ${syscall}`}: ${IN_WORDS[code] ?? code}`;
}

/** Ends the program where its output cannot be written. */
function on_lost_output(name: string, e: NodeJS.ErrnoException): never {
  // A reader that goes away early, such as head(1), is no error of ours.
  if (e.code === 'EPIPE') process.exit(0);
  process.stderr.write(`${name}: standard output: ${IN_WORDS[e.code ?? ''] ?? e.message}\n`);
  process.exit(2);
}

/**
 * The frame of a command-line program: `body` returns the exit status (1 for a comparison or test that failed). What
 * the user did wrong, and a file or output that cannot be read or written, end it with 2 and one line; an error of the
 * program itself with 3 and its stack.
 */
export function run_program(name: string, body: () => number | Promise<number>): void {
  process.stdout.on('error', (e) => on_lost_output(name, e));
  process.stderr.on('error', () => {});
  Promise.resolve()
    .then(body)
    .then(
      (code) => {
        process.exitCode = code;
      },
      (e: unknown) => {
        const mistake = e instanceof UsageError ? e.message.trimEnd() : system_error(e);
        process.stderr.write(`${name}: ${mistake ?? (e instanceof Error ? (e.stack ?? e.message) : String(e))}\n`);
        process.exitCode = mistake === null ? 3 : 2;
      },
    );
}
