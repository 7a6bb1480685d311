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

/** Why a system call failed, in words, or null for an error of another kind. */
export function system_reason(e: unknown): string | null {
  if (!(e instanceof Error)) return null;
  const { code, syscall } = e as NodeJS.ErrnoException;
  return code === undefined || syscall === undefined ? null : (IN_WORDS[code] ?? `${syscall}: ${code}`);
}

/** The error of a system call in one line that names the file, or null for an error of another kind. */
function system_error(e: unknown): string | null {
  const reason = system_reason(e);
  const { path } = e as NodeJS.ErrnoException;
  return reason === null || path === undefined ? reason : `${path}: ${reason}`;
}

/** The program's name, for what it says of itself. */
let program = '';

/** Ends the program where its output cannot be written. */
function on_lost_output(e: NodeJS.ErrnoException): never {
  // A reader that goes away early, such as head(1), is no error of ours.
  if (e.code === 'EPIPE') process.exit(0);
  process.stderr.write(`${program}: standard output: ${IN_WORDS[e.code ?? ''] ?? e.message}\n`);
  process.exit(2);
}

/**
 * Writes to standard output. Where that is lost the program ends here and now: it may be busy for minutes before an
 * event could tell it.
 */
export function print(text: string): void {
  process.stdout.write(text);
  if (process.stdout.errored) on_lost_output(process.stdout.errored);
}

/**
 * The frame of a command-line program: `body` returns the exit status (1 for a comparison or test that failed). What
 * the user did wrong, and a file or output that cannot be read or written, end it with 2 and one line; an error of the
 * program itself with 3 and its stack.
 */
export function run_program(name: string, body: () => number | Promise<number>): void {
  program = name;
  process.stdout.on('error', on_lost_output);
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
