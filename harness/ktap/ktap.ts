// SPDX-License-Identifier: GPL-2.0-only
// Reads what a kselftest_harness.h program printed: raw, or in the kselftest runner's nested form ('# ' before each
// line, once for each level), with lines of a kernel console in between, one run after the other or each test by
// itself.

import { Parser } from 'tap-parser';
import type { Result as TapResult } from 'tap-parser';

type Verdict = 'pass' | 'FAIL' | 'skip' | 'xfail' | 'XPASS';

export interface KtapResult {
  /** fixture.variant.test */
  name: string;
  verdict: Verdict;
  /** what follows the directive: why it was skipped */
  reason: string;
  /** failed assertions as `test:text`, without file and line */
  asserts: string[];
  /** how the test's process ended, where the harness says so: `Test terminated by assertion` */
  end: string;
}

/** What the kernel reported while one test ran: `KERNEL 2 WARNING memremap_pages`. */
export interface KernelReport {
  kind: 'WARNING' | 'BUG' | 'OOPS';
  count: number;
  fn: string;
}

export interface KtapRun {
  /** the test that a `---ISO` line announced, null for a run that is not one of many */
  iso: string | null;
  /** number of tests that the plan names, null without a plan */
  plan: number | null;
  results: KtapResult[];
  /** tests that were started and have no result: the run ended in them */
  unfinished: string[];
  kernel: KernelReport[];
}

export interface KtapFile {
  runs: KtapRun[];
  /** results of other test programs in the same file */
  foreign: number;
}

// ESC [ ... letter, as a console colours its lines
const COLOUR = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*[A-Za-z]`, 'g');
/** A line of the kernel log as a console shows it: level, time stamp, task or CPU, text. */
const CONSOLE = /(?:<\d+>)?\[ *\d+\.\d{6}\](?:\[ *[TC]\d+\])? .*$/;
/** What a line of a test program begins with, so that it is no rest of the line before. */
const OWN_LINE = /^(?:# |#$|ok |not ok |\d+\.\.\d+|K?TAP version|---ISO|KERNEL |Bail out!)/;

/** The lines without the console's; a line that the console broke into two is put together again. */
function program_lines(text: string): string[] {
  const lines: string[] = [];
  let broken = false;
  for (const raw of text.replace(COLOUR, '').split(/\r*\n/)) {
    const at = raw.search(CONSOLE);
    const own = at < 0 ? raw : raw.slice(0, at);
    if (broken && own !== '' && !OWN_LINE.test(own)) lines[lines.length - 1] += own;
    else if (at !== 0) lines.push(own);
    else continue;
    broken = at >= 0;
  }
  return lines;
}

const levels = (prefix: string): number => prefix.length / 2;

/** Takes away up to `depth` of the runner's prefixes; a line with fewer comes from somebody else. */
function unnest(line: string, depth: number): string | null {
  let rest = line;
  for (let i = 0; i < depth; i++) {
    if (rest === '#') return '';
    if (!rest.startsWith('# ')) return null;
    rest = rest.slice(2);
  }
  return rest;
}

const DIRECTIVE = /^(.*?) # (SKIP|XFAIL|XPASS)(?: (.*))?$/;

function result_of(tap: TapResult, notes: string[]): KtapResult {
  let name = tap.name;
  let verdict: Verdict = tap.ok ? 'pass' : 'FAIL';
  let reason = '';
  const directive = DIRECTIVE.exec(name);
  if (tap.skip !== false) {
    verdict = 'skip';
    reason = tap.skip === true ? '' : tap.skip;
  } else if (directive !== null) {
    name = directive[1];
    verdict = directive[2] === 'SKIP' ? 'skip' : directive[2] === 'XFAIL' ? 'xfail' : 'XPASS';
    reason = directive[3] ?? '';
  }
  const asserts: string[] = [];
  let end = '';
  for (const note of notes) {
    const failed = /^# \S+\.c:\d+:(\w+:Expected .*)$/.exec(note);
    if (failed !== null) asserts.push(failed[1]);
    const ended = /^# \w+: (Test (?:terminated|failed|exited|ended).*)$/.exec(note);
    if (ended !== null) end = ended[1];
  }
  return { name, verdict, reason, asserts, end };
}

/** Lines of one program at one level, from its plan on. */
interface Section {
  depth: number;
  lines: string[];
}

/** Cuts the lines of a run where a plan begins or the level changes, and takes the prefixes away. */
function sections(lines: readonly string[]): Section[] {
  const found: Section[] = [];
  let now: Section = { depth: 0, lines: [] };
  let planned = false;
  for (const line of lines) {
    const head = /^((?:# )*)(?:(K?TAP version \d+)|(\d+\.\.\d+)|(?:not )?ok \d+ )/.exec(line);
    if (head !== null) {
      const depth = levels(head[1]);
      const starts = head[2] !== undefined || (head[3] !== undefined && planned);
      if (starts || depth !== now.depth) {
        now = { depth, lines: [] };
        found.push(now);
        planned = false;
      }
      if (head[3] !== undefined) planned = true;
    }
    if (found.length === 0) found.push(now);
    const own = unnest(line, now.depth);
    if (own !== null) now.lines.push(own);
  }
  return found;
}

function read_section(section: Section): Pick<KtapRun, 'plan' | 'results' | 'unfinished'> {
  const results: KtapResult[] = [];
  const started = new Set<string>();
  let plan: number | null = null;
  let notes: string[] = [];
  for (const event of Parser.parse(`${section.lines.join('\n')}\n`)) {
    if (event[0] === 'plan') plan = event[1].end;
    if (event[0] === 'comment') {
      const note = event[1].trimEnd();
      notes.push(note);
      const run = /^# {2}RUN +(\S+) \.\.\.$/.exec(note);
      if (run !== null) started.add(run[1]);
    }
    if (event[0] === 'assert') {
      const result = result_of(event[1], notes);
      results.push(result);
      started.delete(result.name);
      notes = [];
    }
  }
  return { plan, results, unfinished: [...started] };
}

/**
 * Reads results. `fixtures` are the names of the suite's fixtures: what other programs printed into the same file is
 * counted and left out. A text without any result of the suite gives no runs.
 */
export function read_ktap(text: string, fixtures: ReadonlySet<string>): KtapFile {
  const file: KtapFile = { runs: [], foreign: 0 };
  const ours = (name: string): boolean => name.includes('.') && fixtures.has(name.slice(0, name.indexOf('.')));
  const pieces: { iso: string | null; lines: string[]; kernel: KernelReport[] }[] = [
    { iso: null, lines: [], kernel: [] },
  ];
  for (const line of program_lines(text)) {
    const iso = /^---ISO (\S+)$/.exec(line);
    const kernel = /^KERNEL (\d+) (WARNING|BUG|OOPS) (\S+)$/.exec(line);
    const piece = pieces[pieces.length - 1];
    if (iso !== null) pieces.push({ iso: iso[1], lines: [], kernel: [] });
    else if (kernel !== null)
      piece.kernel.push({ count: Number(kernel[1]), kind: kernel[2] as KernelReport['kind'], fn: kernel[3] });
    else piece.lines.push(line);
  }
  for (const { iso, lines, kernel } of pieces) {
    const before = file.runs.length;
    for (const section of sections(lines)) {
      const { plan, results, unfinished } = read_section(section);
      if (![...results.map((r) => r.name), ...unfinished].some(ours)) file.foreign += results.length;
      else file.runs.push({ iso, plan, results, unfinished, kernel });
    }
    if (iso !== null && file.runs.length === before)
      file.runs.push({ iso, plan: null, results: [], unfinished: [iso], kernel });
  }
  return file;
}
