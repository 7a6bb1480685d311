// SPDX-License-Identifier: GPL-2.0-only
// What is wrong with the file of a case before it runs: syntax, types, a forgotten `yield*`, and text to be filled in.

import { existsSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { start_worker } from '../cli/workers.ts';

/** What the templates have where something is to be written. */
export const PLACEHOLDER = 'FILL IN';

/** One line of what is wrong, which begins with FILE:LINE. */
export type Complaint = string;

/** A file and a line of it, as messages name them. */
export function place(file: string, line: number): string {
  return `${relative('.', file)}:${line}`;
}

/** The placeholders that are left in a file. */
export function placeholders(file: string): Complaint[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((text, i) => {
      const at = text.indexOf(PLACEHOLDER);
      return at < 0
        ? []
        : [`${place(file, i + 1)}: still to be written: ${text.slice(at).replace(/['"`,; \])]*$/, '')}`];
    });
}

/**
 * Checks the types of files, and that every call that may sleep has its `yield*`, in a process of its own, since
 * loading the compiler takes seconds: the complaints of each file. Null where the compiler is not installed.
 */
export function check_types(files: readonly string[]): Promise<Map<string, Complaint[]> | null> {
  const rule = fileURLToPath(new URL('../../.config/yield-star.js', import.meta.url));
  if (!existsSync(rule) || !installed('typescript')) return Promise.resolve(null);
  return new Promise((resolve, reject) => {
    const child = start_worker(new URL('check_worker.ts', import.meta.url));
    let found: Map<string, Complaint[]> | null = null;
    child.once('message', (message) => {
      found = new Map(message as [string, Complaint[]][]);
      child.disconnect();
    });
    child.once('error', reject);
    // Not before it is gone: signals are the worker's business till then, and what follows may not let them in.
    child.once('exit', (code, signal) =>
      found !== null ? resolve(found) : reject(new Error(`checking types ended with ${signal ?? `status ${code}`}`)),
    );
    child.send(files);
  });
}

function installed(name: string): boolean {
  try {
    import.meta.resolve(name);
    return true;
  } catch {
    return false;
  }
}

/** The default export of a file, or what is wrong with the file. */
export async function default_export(file: string): Promise<{ value: unknown } | { wrong: Complaint[] }> {
  try {
    const module = (await import(pathToFileURL(file).href)) as { default?: unknown };
    if (module.default !== undefined) return { value: module.default };
    return { wrong: [load_error(file, new Error('has no default export'))] };
  } catch (e) {
    return { wrong: [load_error(file, e)] };
  }
}

/** What loading a file threw, in one line that names the place where that is known. */
export function load_error(file: string, e: unknown): Complaint {
  const text = e instanceof Error ? e.message : String(e);
  // The transformer's own form: `... failed with 1 error:\nFILE:LINE:COLUMN: ERROR: TEXT`.
  const syntax = /^(.*):(\d+):\d+: ERROR: (.*)$/m.exec(text);
  if (syntax !== null) return `${place(syntax[1], Number(syntax[2]))}: ${syntax[3]}`;
  const line =
    e instanceof Error
      ? new RegExp(`${file.replace(/[.*+?^${'$'}{}()|[\]\\]/g, '\\$&')}:(\\d+)`).exec(e.stack ?? '')
      : null;
  return `${line === null ? relative('.', file) : place(file, Number(line[1]))}: ${text.split('\n')[0]}`;
}
