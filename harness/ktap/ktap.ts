// SPDX-License-Identifier: GPL-2.0-only
// Reads what a kselftest_harness.h program printed: raw, or in the kselftest runner's nested form ('# ' before each
// line, once for each level), with lines of a kernel's log in between, one run after the other or each test by itself.

import { Parser } from 'tap-parser';
import type { Result as TapResult } from 'tap-parser';
import { type KernelReport, ReportReader, type ReportKind, summed } from './kernel_log.ts';
import { type Line, log_lines, separate } from './lines.ts';

type Verdict = 'pass' | 'FAIL' | 'skip' | 'xfail' | 'XPASS';

export interface KtapResult {
  /** fixture.variant.test */
  name: string;
  /** its place in the plan, from 1; 0 if the line has none */
  number: number;
  verdict: Verdict;
  /** what follows the directive: why it was skipped */
  reason: string;
  /** failed assertions as `test:text`, without file and line */
  asserts: string[];
  /** how the test's process ended, where the harness says so: `Test terminated by assertion` */
  end: string;
}

export interface KtapRun {
  /** the test that a `---ISO` line announced, null for a run that is not one of many */
  iso: string | null;
  /** number of tests that the plan names, null without a plan */
  plan: number | null;
  results: KtapResult[];
  /** tests that were started (`#  RUN`) */
  started: string[];
  /** tests that were started and have no result: the run ended in them */
  unfinished: string[];
  /** true if the harness's summary (`# Totals:`) is there */
  ended: boolean;
  /** what somebody else says about its end: a timeout, a signal, `Bail out!`; empty if nobody does */
  stopped: string;
  /** what the kernel reported meanwhile */
  kernel: KernelReport[];
  /** true if anything of the kernel's log stands in it, so that no report means that there was none */
  logged: boolean;
  /** other lines that say why nothing ran: a missing device, module or right */
  notes: string[];
}

export interface KtapFile {
  runs: KtapRun[];
  /** results of other test programs in the same file */
  foreign: number;
  /** lines outside of the runs that say why nothing ran: a missing module or right */
  notes: string[];
  /** what the kernel reported before the first run and during other programs */
  elsewhere: KernelReport[];
}

export const NO_RUN: KtapRun = {
  iso: null,
  plan: null,
  results: [],
  started: [],
  unfinished: [],
  ended: false,
  stopped: '',
  kernel: [],
  logged: false,
  notes: [],
};

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
  return { name, number: tap.id > 0 ? tap.id : 0, verdict, reason, asserts, end };
}

/** Lines of one program at one level, from its plan on. */
interface Section {
  depth: number;
  /** begins with a version line or a plan */
  headed: boolean;
  lines: Line[];
}

type IsOurs = (name: string) => boolean;

/** Cuts the lines of a piece where a plan begins or the level of the suite's results changes. */
function sections(lines: readonly Line[], ours: IsOurs): Section[] {
  let now: Section = { depth: 0, headed: false, lines: [] };
  const found = [now];
  let planned = false;
  for (const line of lines) {
    const head = line.kernel
      ? null
      : /^((?:# )*)(?:(K?TAP version \d+)|(\d+\.\.\d+)(?: |$)|(?:not )?ok \d+ (\S+))/.exec(line.text);
    if (head !== null) {
      const depth = head[1].length / 2;
      const headed = head[2] !== undefined || head[3] !== undefined;
      const starts = head[2] !== undefined || (head[3] !== undefined && planned);
      if (starts || (depth !== now.depth && (headed || ours(head[4])))) {
        now = { depth, headed, lines: [] };
        found.push(now);
        planned = false;
      }
      if (head[3] !== undefined) planned = true;
      if (headed) now.headed = true;
    }
    now.lines.push(line);
  }
  return found;
}

/** What stops a run from outside, as the runner, timeout(1), a shell or a TAP producer say it. */
const STOPPED: readonly (readonly [RegExp, string])[] = [
  [/^not ok \d+ selftests: .* # TIMEOUT (\d+) seconds/, "the kselftest runner's timeout of $1 seconds stopped it"],
  [/^not ok \d+ selftests: .* # TIMEOUT/, "the kselftest runner's timeout stopped it"],
  [/^not ok \d+ .* # exit=124\b/, 'a timeout stopped it (exit=124)'],
  [/^not ok \d+ .* # exit=(130|137|143)\b/, 'a signal stopped it (exit=$1)'],
  [/^timeout: sending signal (\S+)/, 'timeout(1) stopped it with $1'],
  [/^exit status (124|130|137|143)$/, 'a signal or a timeout stopped it (exit status $1)'],
  [/^Bail out!\s*(.*)$/, 'it gave up: Bail out! $1'],
  [/^(?:\S+: line \d+: +\d+ )?(Killed|Terminated|Hangup|Segmentation fault)\b/, 'a signal stopped it ($1)'],
  [/^\^C/, 'somebody pressed Ctrl-C'],
];

function stopped_by(text: string): string {
  for (const [pattern, words] of STOPPED) {
    const hit = pattern.exec(text);
    if (hit !== null) return words.replace('$1', hit[1] ?? '').trim();
  }
  return '';
}

/** Lines that say why a run holds nothing about the kernel. */
const WHY_NOT =
  /could not open hmm dmirror driver|Must be run as root|Please run this (?:test )?as root|modprobe: (?:FATAL|ERROR)|CONFIG_TEST_HMM|You need modprobe/;

function read_section(section: Section, ours: IsOurs): { run: KtapRun; foreign: number } {
  const results: KtapResult[] = [];
  const started = new Set<string>();
  const open = new Set<string>();
  const notes: string[] = [];
  const reader = new ReportReader();
  let stopped = '';
  let ended = false;
  let logged = false;
  let current: string | null = null;
  let foreign = 0;
  const tap: string[] = [];
  for (const { text, kernel } of section.lines) {
    const bare = text.replace(/^(?:# )+/, '');
    if (kernel) logged = true;
    if (reader.line(bare, current)) logged = true;
    if (kernel) continue;
    if (WHY_NOT.test(bare)) notes.push(bare);
    stopped ||= stopped_by(bare);
    const own = unnest(text, section.depth);
    if (own === null) {
      if (/^(?:not )?ok \d+ /.test(bare)) foreign++;
      continue;
    }
    tap.push(own);
    const run = /^# {2}RUN +(\S+) \.\.\.$/.exec(own);
    const done = /^(?:not )?ok \d+ (\S+)/.exec(own);
    if (run !== null && ours(run[1])) current = run[1];
    else if (done !== null && done[1] === current) current = null;
    if (/^# Totals: pass:\d+ .* error:\d+$/.test(own)) {
      ended = true;
      current = null;
    }
  }
  let plan: number | null = null;
  let comments: string[] = [];
  for (const event of Parser.parse(`${tap.join('\n')}\n`)) {
    if (event[0] === 'plan') plan = event[1].end;
    if (event[0] === 'comment') {
      const note = event[1].trimEnd();
      comments.push(note);
      const run = /^# {2}RUN +(\S+) \.\.\.$/.exec(note);
      if (run !== null) {
        started.add(run[1]);
        open.add(run[1]);
      }
    }
    if (event[0] === 'assert') {
      const result = result_of(event[1], comments);
      comments = [];
      // A name that the end of the file cut is no result: its test stays open.
      if (!open.has(result.name) && [...open].some((name) => name.startsWith(result.name))) continue;
      if (!ours(result.name)) {
        foreign++;
        continue;
      }
      results.push(result);
      open.delete(result.name);
    }
  }
  const run: KtapRun = {
    ...NO_RUN,
    plan,
    results,
    started: [...started],
    unfinished: [...open].filter(ours),
    ended,
    stopped,
    kernel: reader.reports,
    logged,
    notes,
  };
  return { run, foreign };
}

/** Adds what a later section says about a run: its continuation after lines of somebody else. */
function joined(a: KtapRun, b: KtapRun): KtapRun {
  const done = new Set([...a.results, ...b.results].map((r) => r.name));
  return {
    iso: a.iso,
    plan: a.plan,
    results: [...a.results, ...b.results],
    started: [...new Set([...a.started, ...b.started])],
    unfinished: [...new Set([...a.unfinished, ...b.unfinished])].filter((name) => !done.has(name)),
    ended: a.ended || b.ended,
    stopped: a.stopped || b.stopped,
    kernel: [...a.kernel, ...b.kernel],
    logged: a.logged || b.logged,
    notes: [...a.notes, ...b.notes],
  };
}

interface Piece {
  iso: string | null;
  lines: Line[];
  kernel: KernelReport[];
}

/** Cuts a file where `---ISO` announces a test by itself; takes the `KERNEL` lines out. */
function pieces_of(lines: readonly Line[]): Piece[] {
  const pieces: Piece[] = [{ iso: null, lines: [], kernel: [] }];
  for (const line of lines) {
    const piece = pieces[pieces.length - 1];
    const iso = line.kernel ? null : /^---ISO (\S+)$/.exec(line.text);
    const kernel = line.kernel ? null : /^KERNEL (\d+) (WARNING|BUG|OOPS) (\S+)$/.exec(line.text);
    if (iso !== null) pieces.push({ iso: iso[1], lines: [], kernel: [] });
    else if (kernel !== null)
      piece.kernel.push({
        count: Number(kernel[1]),
        kind: kernel[2] as ReportKind,
        fn: kernel[3],
        test: piece.iso,
        text: '',
      });
    else piece.lines.push(line);
  }
  return pieces;
}

/**
 * Reads results. `fixtures` are the names of the suite's fixtures: what other programs printed into the same file is
 * counted and left out. A text without any result of the suite gives no runs.
 */
export function read_ktap(text: string, fixtures: ReadonlySet<string>): KtapFile {
  const file: KtapFile = { runs: [], foreign: 0, notes: [], elsewhere: [] };
  const ours: IsOurs = (name) => name.includes('.') && fixtures.has(name.slice(0, name.indexOf('.')));
  const last = (): KtapRun | undefined => file.runs.at(-1);
  for (const { iso, lines, kernel } of pieces_of(separate(log_lines(text)))) {
    const before = file.runs.length;
    for (const section of sections(lines, ours)) {
      const { run, foreign } = read_section(section, ours);
      file.foreign += foreign;
      const now = file.runs.length > before ? last() : undefined;
      if (run.results.length > 0 || run.unfinished.length > 0) {
        const goes_on = now !== undefined && !section.headed && now.results.length < (now.plan ?? Infinity);
        if (goes_on) file.runs[file.runs.length - 1] = joined(now, run);
        else file.runs.push({ ...run, iso });
        continue;
      }
      // What the runner or the log says after a run is about it; what came during another program is not.
      if (now !== undefined && (run.started.length === 0 || (run.stopped !== '' && !now.ended))) {
        now.stopped ||= run.stopped;
        now.kernel.push(...run.kernel);
        now.logged ||= run.logged;
      } else {
        file.elsewhere.push(...run.kernel);
        file.notes.push(...run.notes);
      }
    }
    if (iso !== null && file.runs.length === before) file.runs.push({ ...NO_RUN, iso, unfinished: [iso] });
    const run = last();
    if (run !== undefined && file.runs.length > before) {
      run.kernel = summed([...run.kernel, ...kernel]);
      run.logged ||= iso !== null || kernel.length > 0;
    }
  }
  file.elsewhere = summed(file.elsewhere);
  return file;
}
