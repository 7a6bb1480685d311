// SPDX-License-Identifier: GPL-2.0-only
// Recorded op programs: the format of ops, answers and files.

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { system_reason } from '../cli/program.ts';

/** Page p of a program is at the virtual address ARENA + p * PAGE_SIZE. */
export const ARENA = 0x200000000;
export const PAGE_SIZE = 4096;
/** Range of `smaps`: pages below this. */
export const ARENA_PAGES = 8192;
/** Number of processes of a program. */
export const MAX_PROCESSES = 4;

/** Thrown for an invalid file: names the position and what was expected there. */
export class FormatError extends Error {
  constructor(where: string, what: string) {
    super(`${where}: ${what}`);
    this.name = 'FormatError';
  }
}

/** One value of a list: a number, or the signal that the access raised. */
export type Value = number | '!segv' | '!bus';

/** Run-length encodes a list: `v`, `v*k` for k equal values, `v+k` for k ascending numbers; numbers in hex. */
export function encode_list(values: readonly Value[]): string {
  const out: string[] = [];
  for (let i = 0; i < values.length; ) {
    const v = values[i];
    const text = typeof v === 'number' ? v.toString(16) : v;
    let end = i + 1;
    while (end < values.length && values[end] === v) end++;
    if (end - i > 1) {
      out.push(`${text}*${end - i}`);
    } else if (typeof v === 'number') {
      while (end < values.length && values[end] === v + (end - i)) end++;
      out.push(end - i > 1 ? `${text}+${end - i}` : text);
    } else {
      out.push(text);
    }
    i = end;
  }
  return out.join(',');
}

/** Returns the values of an encoded list, or null if it is none. */
export function decode_list(text: string): Value[] | null {
  const values: Value[] = [];
  if (text === '') return values;
  for (const item of text.split(',')) {
    const hit = /^(?:([0-9a-f]+)(?:([*+])(\d+))?|(!segv|!bus)(?:\*(\d+))?)$/.exec(item);
    if (hit === null) return null;
    if (hit[4] !== undefined) {
      const times = Number(hit[5] ?? 1);
      for (let k = 0; k < times; k++) values.push(hit[4] as Value);
      continue;
    }
    const v = Number.parseInt(hit[1], 16);
    const times = Number(hit[3] ?? 1);
    for (let k = 0; k < times; k++) values.push(hit[2] === '+' ? v + k : v);
  }
  return values;
}

export const PROTS = ['rw', 'r', 'none'] as const;
export const ADVICE = [
  'hugepage',
  'nohugepage',
  'collapse',
  'free',
  'dontneed',
  'populate_read',
  'populate_write',
  'dontfork',
  'wipeonfork',
  'guard',
  'unguard',
] as const;
export const DEV_CMDS = [
  'read',
  'write',
  'to_dev',
  'to_sys',
  'snapshot',
  'exclusive',
  'check_exclusive',
  'release',
  'flags',
  'read_unlocked',
] as const;
export const GUP_CMDS = ['gup_fast', 'pin_fast', 'pin_longterm', 'gup_basic', 'pin_basic'] as const;
const KINDS = ['anon', 'shared', 'filepriv', 'fileshared', 'huge'] as const;
const OP_NAMES = [
  'open',
  'close',
  'mmap',
  'munmap',
  'mprotect',
  'madvise',
  'mremap',
  'uffd',
  'load',
  'store',
  'dev',
  'pagemap',
  'smaps',
  'gup',
  'resize',
  'mincore',
  'pvread',
  'memread',
  'memwrite',
  'kpage',
  'marks',
  'uwp',
  'wp',
  'fork',
  'exit',
] as const;

export type Prot = (typeof PROTS)[number];
export type Advice = (typeof ADVICE)[number];
export type DevCmd = (typeof DEV_CMDS)[number];
export type GupCmd = (typeof GUP_CMDS)[number];
type Kind = (typeof KINDS)[number] | 'dmirror';

interface Common {
  text: string;
  proc: number;
}

/** A parsed op; p and q are pages, n is a number of pages, d a device. */
export type Op = Common &
  (
    | { name: 'open' | 'close'; d: number }
    | { name: 'mmap'; p: number; n: number; prot: Prot; kind: Kind; d: number }
    | {
        name: 'munmap' | 'uffd' | 'load' | 'pagemap' | 'mincore' | 'pvread' | 'memread' | 'kpage' | 'marks' | 'uwp';
        p: number;
        n: number;
      }
    | { name: 'resize'; p: number; n: number; to: number }
    | { name: 'wp'; p: number; n: number; mode: number }
    | { name: 'mprotect'; p: number; n: number; prot: Prot }
    | { name: 'madvise'; p: number; n: number; advice: Advice }
    | { name: 'mremap'; p: number; n: number; q: number; dontunmap: boolean }
    | { name: 'store' | 'memwrite'; p: number; n: number; v: number }
    | { name: 'dev'; d: number; cmd: DevCmd; p: number; n: number; v: number }
    | { name: 'gup'; cmd: GupCmd; p: number; n: number; flags: number }
    | { name: 'fork'; child: number }
    | { name: 'smaps' | 'exit' }
  );

/** Takes an op's words one by one and reports errors at `where`. */
class Words {
  private readonly where: string;
  private readonly text: string;
  private readonly words: string[];
  private at = 0;

  constructor(text: string, where: string) {
    this.text = text;
    this.where = where;
    this.words = text.split(' ');
  }

  fail(expected: string): never {
    const got = this.words[this.at];
    throw new FormatError(
      this.where,
      `in op "${this.text}": expected ${expected}, not ${got === undefined ? 'its end' : `"${got}"`}`,
    );
  }

  number(what: string, max = Number.MAX_SAFE_INTEGER): number {
    const word = this.words[this.at] ?? '';
    const v = /^(\d+|0x[0-9a-f]+)$/i.test(word) ? Number(word) : NaN;
    if (!(v <= max)) this.fail(max === Number.MAX_SAFE_INTEGER ? what : `${what} (0 to ${max})`);
    this.at++;
    return v;
  }

  one_of<T extends string>(what: string, choices: readonly T[]): T {
    const word = this.words[this.at];
    const found = choices.find((it) => it === word);
    if (found === undefined) this.fail(`${what} (${choices.join(' ')})`);
    this.at++;
    return found;
  }

  kind(): { kind: Kind; d: number } {
    const device = /^dmirror(\d)$/.exec(this.words[this.at] ?? '');
    if (device === null) return { kind: this.one_of<Kind>('a kind of mapping, or dmirror<d>', KINDS), d: -1 };
    this.at++;
    return { kind: 'dmirror', d: Number(device[1]) };
  }

  optional(word: string): boolean {
    if (this.words[this.at] !== word) return false;
    this.at++;
    return true;
  }

  end(): void {
    if (this.at < this.words.length) this.fail('the end of the op');
  }
}

/** Parses one op; `where` is the position that a FormatError names. */
export function parse_op(text: string, where: string): Op {
  const w = new Words(text, where);
  const proc = w.number('a process', MAX_PROCESSES - 1);
  const op = parse_rest(w, w.one_of('an op', OP_NAMES), { text, proc });
  w.end();
  return op;
}

function parse_rest(w: Words, name: (typeof OP_NAMES)[number], common: Common): Op {
  const range = (): { p: number; n: number } => ({ p: w.number('a page'), n: w.number('a count of pages') });
  switch (name) {
    case 'open':
    case 'close':
      return { ...common, name, d: w.number('a device', 9) };
    case 'mmap':
      return { ...common, name, ...range(), prot: w.one_of('a protection', PROTS), ...w.kind() };
    case 'munmap':
    case 'uffd':
    case 'load':
    case 'pagemap':
    case 'mincore':
    case 'pvread':
    case 'memread':
    case 'kpage':
    case 'marks':
    case 'uwp':
      return { ...common, name, ...range() };
    case 'resize':
      return { ...common, name, ...range(), to: w.number('a count of pages') };
    case 'wp':
      return { ...common, name, ...range(), mode: w.number('a mode', 3) };
    case 'mprotect':
      return { ...common, name, ...range(), prot: w.one_of('a protection', PROTS) };
    case 'madvise':
      return { ...common, name, ...range(), advice: w.one_of('an advice', ADVICE) };
    case 'mremap':
      return { ...common, name, ...range(), q: w.number('a page'), dontunmap: w.optional('dontunmap') };
    case 'store':
    case 'memwrite':
      return { ...common, name, ...range(), v: w.number('a value', 0xffffffff) };
    case 'dev': {
      const d = w.number('a device', 9);
      const cmd = w.one_of('a command', DEV_CMDS);
      return { ...common, name, d, cmd, ...range(), v: cmd === 'write' ? w.number('a value', 0xffffffff) : 0 };
    }
    case 'gup':
      return {
        ...common,
        name,
        cmd: w.one_of('a command', GUP_CMDS),
        ...range(),
        flags: w.number('flags', 0xffffffff),
      };
    case 'fork':
      return { ...common, name, child: w.number('a process', MAX_PROCESSES - 1) };
    case 'smaps':
    case 'exit':
      return { ...common, name };
  }
}

/** The live processes of a program from op to op. A process has to exit before its number is reused. */
class Processes {
  private readonly alive = new Set([0]);

  /** Throws FormatError for an op of a process that is not alive, and for a fork of one that is. */
  take(op: Op, where: string): void {
    if (!this.alive.has(op.proc))
      throw new FormatError(
        where,
        `in op "${op.text}": expected a process that is alive (${this.names()}), not ${op.proc}`,
      );
    if (op.name === 'exit') this.alive.delete(op.proc);
    if (op.name !== 'fork') return;
    if (this.alive.has(op.child))
      throw new FormatError(where, `in op "${op.text}": expected a process that is not alive yet, not ${op.child}`);
    this.alive.add(op.child);
  }

  private names(): string {
    return [...this.alive].sort((a, b) => a - b).join(', ') || 'none is';
  }
}

/** Splits an answer into its text and the functions of its warnings. */
export function split_warnings(text: string): { body: string; warns: string[] } {
  const [body, ...warns] = text.split(' warn=');
  return { body, warns };
}

/** Returns the encoded list of an answer, or null if it has none. */
export function list_of(body: string): string | null {
  return /\[(.*)\]$/.exec(body)?.[1] ?? null;
}

const LISTED_DEV_CMDS: readonly DevCmd[] = ['read', 'read_unlocked', 'to_dev', 'exclusive', 'snapshot'];

/** The format of a successful answer to this op, and the number of values that it lists. */
function shape(op: Op): { form: RegExp; text: string; listed: number | null } {
  switch (op.name) {
    case 'load':
    case 'store':
    case 'pagemap':
    case 'mincore':
    case 'pvread':
    case 'memread':
    case 'memwrite':
    case 'kpage':
    case 'marks':
      return { form: /^0 \[.*\]$/, text: '0 [list]', listed: op.n };
    case 'dev':
      return LISTED_DEV_CMDS.includes(op.cmd)
        ? { form: /^0 c=\d+ f=\d+ \[.*\]$/, text: '0 c=<cpages> f=<faults> [list]', listed: op.n }
        : { form: /^0 c=\d+ f=\d+$/, text: '0 c=<cpages> f=<faults>', listed: null };
    case 'smaps':
      return {
        form: /^0 vmas=\d+ rss=\d+ anon=\d+ thp=\d+ swap=\d+$/,
        text: '0 vmas= rss= anon= thp= swap=',
        listed: null,
      };
    case 'gup':
      return { form: /^0 size=-?\d+$/, text: '0 size=<pages>', listed: null };
    default:
      return { form: /^0$/, text: '0', listed: null };
  }
}

/** Checks that `text` can be an answer to the op, including the length of its list. */
function check_result(op: Op, text: unknown, where: string): void {
  const complain = (expected: string): never => {
    throw new FormatError(where, `result of "${op.text}": expected ${expected}, not ${JSON.stringify(text)}`);
  };
  if (typeof text !== 'string') return complain('a string');
  const { body } = split_warnings(text);
  if (/^-\d+$/.test(body)) return;
  const { form, text: form_text, listed } = shape(op);
  if (!form.test(body)) complain(`-errno or ${form_text}`);
  if (listed === null) return;
  const values = decode_list(list_of(body) ?? '');
  if (values === null) return complain('a run-length coded list');
  if (values.length !== listed) complain(`a list of ${listed} values (it has ${values.length})`);
}

export interface Config {
  thp: 'always' | 'madvise' | 'never';
  spm: boolean;
}

/** How a program ended before its last op. */
export type End = { oops: string; bug: string } | { hang: true };

export interface Program {
  id: string;
  theme: string;
  config: Config;
  ops: string[];
  results: string[];
  end?: End;
}

export const THP_MODES = ['always', 'madvise', 'never'] as const;

const is_object = (v: unknown): v is Record<string, unknown> =>
  typeof v === 'object' && v !== null && !Array.isArray(v);

const strings = (v: unknown): v is string[] => Array.isArray(v) && v.every((it) => typeof it === 'string');

function check_end(end: unknown, where: string): End | undefined {
  if (end === undefined) return undefined;
  if (is_object(end) && end.hang === true) return { hang: true };
  if (is_object(end) && typeof end.oops === 'string')
    return { oops: end.oops, bug: typeof end.bug === 'string' ? end.bug : '' };
  throw new FormatError(where, 'expected "end" to be {"oops": symbol, "bug": text} or {"hang": true}');
}

/** Checks and returns one program of a recording with its ops and results. */
export function check_program(data: unknown, where: string): Program {
  if (!is_object(data)) throw new FormatError(where, 'expected a JSON object with id, config, ops and results');
  const { id, theme, config, ops, results } = data;
  if (typeof id !== 'string' || id === '') throw new FormatError(where, 'expected "id" to be a string');
  const at = `${where} (program ${id})`;
  const thp = is_object(config) ? THP_MODES.find((mode) => mode === config.thp) : undefined;
  if (!is_object(config) || thp === undefined || typeof config.spm !== 'boolean') {
    throw new FormatError(at, 'expected "config" to be {"thp": "always", "madvise" or "never", "spm": true or false}');
  }
  if (!strings(ops)) throw new FormatError(at, 'expected "ops" to be a list of strings');
  if (!Array.isArray(results)) throw new FormatError(at, 'expected "results" to be a list of strings');
  const end = check_end(data.end, at);
  if (end === undefined && results.length !== ops.length) {
    throw new FormatError(
      at,
      `expected ${ops.length} results, one for each op, not ${results.length} (there is no "end")`,
    );
  }
  if (end !== undefined && results.length >= ops.length) {
    throw new FormatError(
      at,
      `expected fewer results than its ${ops.length} ops, not ${results.length}, since it has an "end"`,
    );
  }
  const processes = new Processes();
  ops.forEach((text, i) => {
    const op = parse_op(text, `${at}, op ${i + 1}`);
    processes.take(op, `${at}, op ${i + 1}`);
    if (i < results.length) check_result(op, results[i], `${at}, op ${i + 1}`);
  });
  return {
    id,
    theme: typeof theme === 'string' ? theme : '',
    config: { thp, spm: config.spm },
    ops,
    results: results as string[],
    ...(end === undefined ? {} : { end }),
  };
}

function read_text(path: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (e) {
    throw new FormatError(path, system_reason(e) ?? String(e));
  }
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes.toString('utf8');
  try {
    return gunzipSync(bytes).toString('utf8');
  } catch (e) {
    throw new FormatError(path, `is no whole gzip file: ${e instanceof Error ? e.message : String(e)}`);
  }
}

function json_lines(path: string, text: string): { where: string; data: unknown }[] {
  const found: { where: string; data: unknown }[] = [];
  text.split('\n').forEach((line, i) => {
    if (line.trim() === '') return;
    const where = `${path}:${i + 1}`;
    try {
      found.push({ where, data: JSON.parse(line) });
    } catch {
      throw new FormatError(where, 'expected a program as one line of JSON');
    }
  });
  return found;
}

/** Reads the programs of a recording (.jsonl, gzipped or not). */
export function read_recording(path: string): Program[] {
  const programs = json_lines(path, read_text(path)).map(({ where, data }) => check_program(data, where));
  if (programs.length === 0) throw new FormatError(path, 'expected at least one program, a line of JSON each');
  return programs;
}

/** What a `program` line of a text file may set besides the id. */
function parse_header(line: string, where: string): Program {
  const [id, ...settings] = line.split(/\s+/).slice(1);
  if (id === undefined) throw new FormatError(where, 'expected "program ID [thp=MODE] [spm=yes|no] [theme=WORD]"');
  const program: Program = { id, theme: 'own', config: { thp: 'always', spm: false }, ops: [], results: [] };
  for (const setting of settings) {
    const [key, value = ''] = setting.split('=');
    const thp = THP_MODES.find((mode) => mode === value);
    if (key === 'thp' && thp !== undefined) program.config.thp = thp;
    else if (key === 'spm' && (value === 'yes' || value === 'no')) program.config.spm = value === 'yes';
    else if (key === 'theme') program.theme = value;
    else
      throw new FormatError(where, `expected thp=${THP_MODES.join('|')}, spm=yes|no or theme=WORD, not "${setting}"`);
  }
  return program;
}

/**
 * Reads programs without answers: a text file with a line `program ID [thp=MODE] [spm=yes|no] [theme=WORD]` before the
 * ops of each, one per line, `#` starting a comment; or a recording, whose answers are ignored.
 */
export function read_programs(path: string): Program[] {
  const text = read_text(path);
  if (text.trimStart().startsWith('{')) {
    return read_recording(path).map(({ id, theme, config, ops }) => ({ id, theme, config, ops, results: [] }));
  }
  const programs: Program[] = [];
  let processes = new Processes();
  text.split('\n').forEach((raw, i) => {
    const line = raw.replace(/#.*/, '').trim();
    if (line === '') return;
    const where = `${path}:${i + 1}`;
    if (/^program(\s|$)/.test(line)) {
      programs.push(parse_header(line, where));
      processes = new Processes();
      return;
    }
    const op = parse_op(line.replace(/\s+/g, ' '), where);
    const last = programs.at(-1);
    if (last === undefined) throw new FormatError(where, 'expected a line "program ID ..." before the first op');
    processes.take(op, where);
    last.ops.push(op.text);
  });
  if (programs.length === 0) throw new FormatError(path, 'expected at least one program');
  return programs;
}
