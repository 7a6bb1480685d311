// SPDX-License-Identifier: GPL-2.0-only
// Programs as a user starts them, and what the READMEs tell him to start.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The top of the checkout, with a slash. */
export const TOP = fileURLToPath(new URL('../..', import.meta.url));

/** How a program ended. */
export interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a program in a folder as a user would: nothing of npm's or of a test runner's in its environment. */
export function run(cwd: string, program: string, ...argv: string[]): Ended {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(npm_|TAP|(NODE_OPTIONS|NODE_V8_COVERAGE|INIT_CWD|SLOW)$)/.test(name),
    ),
  );
  return spawnSync(program, argv, { cwd, env, encoding: 'utf8', maxBuffer: 2 ** 28 });
}

/** Runs what has to succeed; returns what it printed. */
export function must(cwd: string, program: string, ...argv: string[]): string {
  const { status, stdout, stderr } = run(cwd, program, ...argv);
  if (status !== 0) throw new Error(`${program} ${argv.join(' ')}: exit status ${status}\n${stdout}${stderr}`);
  return stdout;
}

/** The text of each fenced block of a language, in order. */
export function fenced_blocks(markdown: string, language: string): string[] {
  return [...markdown.matchAll(/^```(\S*)\n([^]*?)^```$/gm)].filter((it) => it[1] === language).map((it) => it[2]);
}

/** A command of a README's `sh` blocks, with the exit status that its comment claims: `# exit status 1: ...`, else 0. */
export interface Command {
  line: string;
  status: number;
}

/** The commands of a README, in order. */
export function commands_of(markdown: string): Command[] {
  return fenced_blocks(markdown, 'sh')
    .flatMap((block) => block.split('\n'))
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [command, comment = ''] = line.split(/ +# /);
      return { line: command, status: Number(/exit status (\d+)/.exec(comment)?.[1] ?? 0) };
    });
}
