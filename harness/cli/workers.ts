// SPDX-License-Identifier: GPL-2.0-only
// Processes that a program starts to share its work, none of which outlives it.

import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { BUILT, EXTENSION } from './extension.ts';

const alive = new Set<ChildProcess>();
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function end_all(): void {
  for (const child of alive) child.kill('SIGKILL');
}

/** Ends the workers, and the program by the signal that it got, so that its parent sees that signal. */
function on_signal(signal: (typeof SIGNALS)[number]): void {
  end_all();
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  process.removeListener(signal, on_signal);
  process.kill(process.pid, signal);
  // pid 1 of a container has no default for signals
  process.exit(128 + constants.signals[signal]);
}

/** Takes care that a child ends with this process, whether that returns, fails or is ended by a signal. */
function keep(child: ChildProcess): void {
  if (alive.size === 0) {
    process.on('exit', end_all);
    for (const signal of SIGNALS) process.on(signal, on_signal);
  }
  alive.add(child);
  const gone = (): void => {
    alive.delete(child);
    if (alive.size > 0) return;
    process.removeListener('exit', end_all);
    for (const signal of SIGNALS) process.removeListener(signal, on_signal);
  };
  child.once('exit', gone);
  child.once('error', gone);
}

/**
 * Starts a program of this project, named as in the sources, in a process of its own, with a channel for messages. With `output` its standard
 * output is a pipe, else this program's own.
 */
export function start_worker(
  program: URL,
  argv: readonly string[] = [],
  output: 'pipe' | 'inherit' = 'inherit',
): ChildProcess {
  const file = fileURLToPath(program).replace(/\.ts$/, EXTENSION);
  const node_options = BUILT ? [...process.execArgv, '--enable-source-maps'] : process.execArgv;
  const child = spawn(process.execPath, [...node_options, file, ...argv], {
    stdio: ['ignore', output, 'inherit', 'ipc'],
  });
  keep(child);
  return child;
}

/** How often a worker looks whether its parent is still there, in milliseconds. */
const LOOK_MS = 1000;

/**
 * To be called by a worker: it ends when its parent is gone. One that is busy for minutes hears of nothing meanwhile, so a
 * thread of its own looks for the parent.
 */
export function end_with_parent(): void {
  process.on('disconnect', () => process.exit());
  const look = `setInterval(() => process.ppid === ${process.ppid} || process.kill(${process.pid}, 'SIGKILL'), ${LOOK_MS})`;
  new Worker(look, { eval: true, execArgv: [] }).unref();
}
