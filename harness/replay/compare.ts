// SPDX-License-Identifier: GPL-2.0-only
// Replays one recorded program and describes where the model and Linux differ.

import type { Machine } from '../../lib/machine.ts';
import { inspect_range } from '../../lib/inspect.ts';
import type { Warning } from '../../lib/kernel/printk.ts';
import { MAX_SWAPFILES } from '../../lib/mm/leafops.ts';
import type { PatchId } from '../../lib/patches/index.ts';
import { command_line } from '../cli/command.ts';
import {
  ARENA,
  decode_list,
  encode_list,
  type End,
  list_of,
  type Op,
  PAGE_SIZE,
  type Program,
  split_warnings,
} from './format.ts';
import { type Answer, parse_ops, run_ops, type RunHooks, type Stop } from './run.ts';

/** Result of one program: nothing if it is identical, else a text that explains the first difference. */
export interface Outcome {
  id: string;
  identical: boolean;
  report: string;
}

/** Maximum number of pages whose state a report shows. */
const MAX_PAGES = 8;
/** Maximum number of earlier ops that a report lists. */
const MAX_OPS = 24;
/** Position of the swap type in a pagemap answer, and the type of markers, the last of 32. */
const PAGEMAP_TYPE_SHIFT = 4;
const SWP_PTE_MARKER = 31;
/** Length at which a report truncates an answer. */
const MAX_TEXT = 400;

/** Frames of the model that correspond to no kernel function; reports omit them. */
const NOT_A_FUNCTION: ReadonlySet<string> = new Set([
  'BUG_ON',
  'VM_BUG_ON',
  'WARN_ON',
  'WARN_ON_ONCE',
  'Oops',
  'call_path',
]);

/** Returns the innermost function of a call path. */
export function innermost(path: readonly string[]): string {
  return path.find((name) => !NOT_A_FUNCTION.has(name)) ?? '?';
}

/** The function of a symbol: the compiler names the copies that it makes of one (`f.constprop.0`, `f.isra.0`). */
function function_of(symbol: string): string {
  return symbol.replace(/\.(constprop|isra|part|cold).*$/, '');
}

/** Returns true if a recorded symbol is one of the functions around a warning: the compiler inlines into callers. */
function on_path(symbol: string, warning: Warning): boolean {
  const name = function_of(symbol);
  return warning.fn === name || warning.path.includes(name);
}

/**
 * Returns true if the answers agree: the same text, and the recorded warnings in order, each on its symbol's call path.
 * A warning that Linux gives once per boot may be missing from the recording, whose kernel ran other programs before.
 */
export function same_answer(recorded: string, answer: Answer): boolean {
  const { body, warns } = split_warnings(recorded);
  if (body !== answer.body) return false;
  let k = 0;
  for (const warning of answer.warnings) {
    if (k < warns.length && on_path(warns[k], warning)) k++;
    else if (warning.once !== true) return false;
  }
  return k === warns.length;
}

/**
 * Renumbers the swap types of a recorded answer for a kernel whose special types begin at `max_swapfiles` instead of
 * 7.3.4's MAX_SWAPFILES. The last type is that of markers in both. Only pagemap shows types.
 */
export function renumber_swap_types(op: Op, recorded: string, max_swapfiles: number): string {
  if (op.name !== 'pagemap' || max_swapfiles === MAX_SWAPFILES) return recorded;
  const list = list_of(recorded);
  const values = decode_list(list ?? '');
  if (list === null || values === null) return recorded;
  const renumbered = values.map((v) => {
    if (typeof v !== 'number') return v;
    const type = v >> PAGEMAP_TYPE_SHIFT;
    return type >= MAX_SWAPFILES && type !== SWP_PTE_MARKER
      ? v + ((max_swapfiles - MAX_SWAPFILES) << PAGEMAP_TYPE_SHIFT)
      : v;
  });
  return recorded.replace(`[${list}]`, `[${encode_list(renumbered)}]`);
}

/** Formats the model's answer like a recording. */
function answer_text(answer: Answer): string {
  return answer.body + answer.warnings.map(({ fn }) => ` warn=${fn}`).join('');
}

/** Returns true if the model stopped like the recording. */
export function same_end(end: End | undefined, stop: Stop | null): boolean {
  if (end === undefined || stop === null) return end === undefined && stop === null;
  if ('hang' in end) return stop.kind === 'hang';
  return stop.kind === 'oops' && stop.oops.path.includes(function_of(end.oops));
}

function stop_text(stop: Stop): string {
  switch (stop.kind) {
    case 'oops':
      return `oops in ${innermost(stop.oops.path)} (${stop.oops.bug}; by way of ${stop.oops.path.slice(0, 12).join(' < ')})`;
    case 'hang':
      return `never returns (${stop.waits.join('; ')})`;
    case 'unmodelled':
      return stop.text;
    case 'error':
      return `an error of the model itself: ${stop.text}`;
  }
}

function end_text(end: End): string {
  return 'hang' in end ? 'never returns' : `oops in ${end.oops} (${end.bug})`;
}

/**
 * Returns the end of a run as a recording has it; undefined if the program ran through. Throws if the model has no
 * answer.
 */
function recorded_end(stop: Stop | null): End | undefined {
  if (stop === null) return undefined;
  if (stop.kind === 'oops') return { oops: innermost(stop.oops.path), bug: stop.oops.bug };
  if (stop.kind === 'hang') return { hang: true };
  throw new Error(stop_text(stop));
}

interface Range {
  p: number;
  n: number;
}

/** Returns the pages that an op is about; none for an op on a whole process. */
function ranges(op: Op): Range[] {
  if (!('p' in op) || (op.name === 'dev' && (op.cmd === 'flags' || op.cmd === 'release'))) return [];
  const { p, n } = op;
  return op.name === 'mremap'
    ? [
        { p, n },
        { p: op.q, n },
      ]
    : [{ p, n }];
}

const overlap = (a: Range, b: Range): boolean => a.p < b.p + b.n && b.p < a.p + a.n;

/** Returns the pages at which two listed answers differ, as ranges, at most MAX_PAGES pages in all. */
function differing_pages(op: Op, linux: string, model: string): Range[] {
  const [whole] = ranges(op);
  if (whole === undefined) return [];
  const theirs = decode_list(list_of(split_warnings(linux).body) ?? '');
  const ours = decode_list(list_of(split_warnings(model).body) ?? '');
  if (theirs === null || ours === null || theirs.length !== ours.length || theirs.length === 0) {
    return ranges(op).map(({ p, n }) => ({ p, n: Math.min(n, MAX_PAGES) }));
  }
  const found: Range[] = [];
  let total = 0;
  for (let i = 0; i < theirs.length && total < MAX_PAGES; i++) {
    if (theirs[i] === ours[i]) continue;
    const last = found.at(-1);
    if (last !== undefined && last.p + last.n === whole.p + i) last.n++;
    else found.push({ p: whole.p + i, n: 1 });
    total++;
  }
  return found.length > 0 ? found : [{ p: whole.p, n: Math.min(whole.n, MAX_PAGES) }];
}

function cut(text: string): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}... (${text.length} characters)`;
}

/** Returns the ops before op i that touched its pages, or created, copied or ended processes, with their answers. */
function earlier_ops(program: Program, ops: readonly Op[], i: number): string[] {
  const pages = ranges(ops[i]);
  const found: string[] = [];
  for (let k = 0; k < i; k++) {
    const op = ops[k];
    const related = pages.length === 0 || ranges(op).some((a) => pages.some((b) => overlap(a, b)));
    if (related || op.name === 'fork' || op.name === 'exit')
      found.push(`    ${k + 1}: ${op.text} => ${cut(program.results[k])}`);
  }
  const left_out = found.length - MAX_OPS;
  return left_out > 0 ? [`    (${left_out} more before)`, ...found.slice(left_out)] : found;
}

function page_states(m: Machine, pid: number | undefined, pages: readonly Range[]): string[] {
  if (pid === undefined) return [];
  return pages.flatMap(({ p, n }) => inspect_range(m, pid, ARENA + p * PAGE_SIZE, n).map((line) => `    ${line}`));
}

function describe(
  program: Program,
  ops: readonly Op[],
  i: number,
  model: string,
  m: Machine,
  pids: ReadonlyMap<number, number>,
  command: string,
): string {
  const op = ops[i];
  const linux =
    i < program.results.length ? program.results[i] : program.end === undefined ? 'nothing' : end_text(program.end);
  const { thp, spm } = program.config;
  const lines = [
    `program ${program.id} (${program.theme}, thp=${thp}, ${spm ? 'spm' : 'no spm'}) diverges at op ${i + 1} of ${ops.length}: ${op.text}`,
    `  Linux: ${cut(linux)}`,
    `  model: ${cut(model)}`,
  ];
  const pages = differing_pages(op, linux, model);
  if (pages.length > 0) {
    const named = pages.map(({ p, n }) => (n === 1 ? `${p}` : `${p} to ${p + n - 1}`)).join(', ');
    lines.push(`  pages: ${named}`);
  }
  const before = earlier_ops(program, ops, i);
  if (before.length > 0)
    lines.push(pages.length > 0 ? '  earlier ops on its pages, forks and exits:' : '  earlier ops:', ...before);
  const states = page_states(m, pids.get(op.proc), pages);
  if (states.length > 0) lines.push('  the pages now:', ...states);
  lines.push(`  again: ${command}`);
  return lines.join('\n');
}

/**
 * Replays a program up to its first difference. `file` is its path, for the command that replays it alone; hooks run as
 * for run_ops(), before the answer is compared. With patch states the machine may number swap types differently than
 * 7.3.4, which was recorded.
 */
export function replay_program(
  program: Program,
  file: string,
  hooks: RunHooks = {},
  patches: readonly PatchId[] = [],
): Outcome {
  const ops = parse_ops(program.ops, program.id);
  const states = patches.length > 0 ? [`--patches=${patches.join(',')}`] : [];
  const command = command_line('replay', file, `--only ${program.id}`, ...states);
  let report = '';
  const { machine, stop } = run_ops(
    program.config,
    ops,
    {
      ...hooks,
      on_answer: (m, i, answer, pids) => {
        const stop_asked = hooks.on_answer?.(m, i, answer, pids) === true;
        const recorded =
          i < program.results.length
            ? renumber_swap_types(ops[i], program.results[i], m.device_private.max_swapfiles)
            : null;
        if (recorded !== null && same_answer(recorded, answer)) return stop_asked;
        report = describe(program, ops, i, answer_text(answer), m, pids, command);
        return true;
      },
      on_stop: (m, i, it, pids) => {
        hooks.on_stop?.(m, i, it, pids);
        if (report === '' && !(i === program.results.length && same_end(program.end, it))) {
          report = describe(program, ops, Math.min(i, ops.length - 1), stop_text(it), m, pids, command);
        }
      },
    },
    patches,
  );
  machine.release();
  if (report === '' && !same_end(program.end, stop))
    report = `program ${program.id} should have ended: ${JSON.stringify(program.end)}`;
  return { id: program.id, identical: report === '', report };
}

/** Returns the program with the model's answers in place of Linux's. Throws where the model has none. */
export function record_program(program: Program, patches: readonly PatchId[] = []): Program {
  const { machine, answers, stop } = run_ops(program.config, parse_ops(program.ops, program.id), {}, patches);
  machine.release();
  const end = recorded_end(stop);
  const { id, theme, config, ops } = program;
  return { id, theme, config, ops, results: answers.map(answer_text), ...(end === undefined ? {} : { end }) };
}
