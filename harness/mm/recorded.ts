// SPDX-License-Identifier: GPL-2.0-only
// What Linux 7.3.4 answered to its other mm selftests: selftests/results/mm.

import { existsSync, readdirSync, readFileSync } from 'node:fs';

const RESULTS = new URL('../../selftests/results/mm/', import.meta.url);
const EXIT = /^# exit status (\d+)$/;

/** What one program printed and how it ended. */
export interface ProgramResult {
  readonly lines: readonly string[];
  /** exit status as a shell shows it */
  readonly status: number;
}

/** A program and what Linux answered to it. */
export interface Recorded extends ProgramResult {
  readonly name: string;
  readonly args: readonly string[];
}

/** Machines on which the programs were recorded. */
export type Swap = 'noswap' | 'swap';

/** Names of the recorded programs. */
export function recorded_names(swap: Swap): string[] {
  return readdirSync(new URL(`${swap}/`, RESULTS))
    .filter((file) => file.endsWith('.ktap'))
    .map((file) => file.slice(0, -'.ktap'.length))
    .sort();
}

/** Reads a recording: its command first, then what the program printed, and its exit status. */
export function read_recorded(name: string, text: string): Recorded {
  const lines = text.trimEnd().split('\n');
  const [, ...args] = (lines.shift() ?? '').replace(/^# /, '').split(' ');
  const end = lines.findIndex((line) => EXIT.test(line));
  if (end < 0) throw new Error(`${name}: expected a line "# exit status N", there is none`);
  if (end !== lines.length - 1)
    throw new Error(`${name}: expected nothing behind the exit status, got ${lines[end + 1]}`);
  return { name, args, lines: lines.slice(0, end), status: Number(EXIT.exec(lines[end])?.[1]) };
}

/**
 * What Linux answered to a program: on a CPU like the modelled one, if that was recorded, which has no protection keys and
 * no fifth level of page tables; else on one that has them, which the program does not notice.
 */
export function recorded(swap: Swap, name: string): Recorded {
  const plain = new URL(`x86-64-v1/${name}.ktap`, RESULTS);
  return read_recorded(
    name,
    readFileSync(existsSync(plain) ? plain : new URL(`${swap}/${name}.ktap`, RESULTS), 'utf8'),
  );
}

/** A line without what differs from run to run on Linux: where the kernel put a mapping, and measured times. */
export function comparable(line: string): string {
  return line
    .replace(/\b0x[0-9a-f]{6,16}\b/g, (hex) => (hex === '0xffffffffffffffff' ? hex : '0xADDRESS'))
    .replace(/\b(get|put):\d+(?=.* us\b)/g, '$1:TIME');
}

/** How a run and a recording agree. */
export interface ProgramAgreement {
  /** subtests of the recording, and how many of them the run has with the same line */
  readonly subtests: number;
  readonly same: number;
  /** the first line that differs, of the recording and of the run; null if all lines and the status are the same */
  readonly difference: { readonly line: number; readonly expected: string; readonly got: string } | null;
}

const RESULT = /^(?:not )?ok \d+/;

/** Compares a run with the recording, line by line. */
export function compare_program(expected: ProgramResult, got: ProgramResult): ProgramAgreement {
  const results = (r: ProgramResult): string[] => r.lines.filter((line) => RESULT.test(line)).map(comparable);
  const [theirs, ours] = [results(expected), results(got)];
  const all = (r: ProgramResult): string[] => [...r.lines.map(comparable), `exit status ${r.status}`];
  const [left, right] = [all(expected), all(got)];
  let line = 0;
  while (line < Math.max(left.length, right.length) && left[line] === right[line]) line++;
  const same = line === left.length && line === right.length;
  return {
    subtests: theirs.length,
    same: theirs.filter((text, k) => ours[k] === text).length,
    difference: same ? null : { line: line + 1, expected: left[line] ?? '(ends)', got: right[line] ?? '(ends)' },
  };
}
