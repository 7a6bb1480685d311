// SPDX-License-Identifier: GPL-2.0-only
// The lines of a log as the programs wrote them: without what a terminal, a console, a journal or a CI system added.

/** A line without stamps. */
export interface Line {
  text: string;
  /** true for one that the kernel wrote: it has a kernel's time stamp, or a journal says so */
  kernel: boolean;
}

const ESC = String.fromCharCode(27);
const BEL = String.fromCharCode(7);
// ESC [ ... letter colours and moves, ESC ] ... BEL sets a title, ESC ( B chooses letters
const TERMINAL = new RegExp(
  `${ESC}\\[[0-9;?<=>!]*[@-~]|${ESC}\\][^${BEL}${ESC}\\n]*(?:${BEL}|${ESC}\\\\)|${ESC}[()][A-Z0-9]|${ESC}[=>78cDEHMNOZ]`,
  'g',
);
const CONTROL = new RegExp('[\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f\\ufeff]', 'g');

/** A stamp of the kernel's log: level, seconds since boot, task or CPU. */
const KERNEL_STAMP = /^(?:<\d+>)?\[ *\d+\.\d{6}\](?:\[ *[TC]\d+\])? ?/;

const MONTH = '(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)';
const CLOCK = '\\d{2}:\\d{2}:\\d{2}(?:[.,]\\d+)?';
const ISO = `\\d{4}-\\d{2}-\\d{2}[T ]${CLOCK}(?: ?Z| ?[+-]\\d{2}:?\\d{2})?`;
/** A journal or syslog: date, host, who wrote. */
const JOURNAL = new RegExp(
  `^(?:(?:${MONTH} [ \\d]\\d (?:\\d{4} )?${CLOCK}|${ISO}) [A-Za-z0-9][\\w.-]*|\\[ *\\d+\\.\\d{6}\\] [\\w.-]+) ([\\w./@-]+?)(?:\\[\\d+\\])?: ?`,
);
/** Stamps of ts(1) and of CI systems, none of which a test program begins a line with. */
const STAMPS: readonly RegExp[] = [
  // gh run view --log: job and step before the stamp
  new RegExp(`^[^\\t\\n]+\\t[^\\t\\n]+\\t(?=${ISO})`),
  // GitLab adds a stream and whether it goes on to the stamp of GitHub, LAVA and others
  new RegExp(`^\\[?${ISO}\\]?(?: \\d\\d[OE][ +])? ?`),
  new RegExp(`^\\[?${MONTH} [ \\d]\\d (?:\\d{4} )?${CLOCK}\\]? ?`),
  new RegExp(`^\\[?${CLOCK}\\]? {0,2}(?=\\S|$)`),
  /^\d{9,10}\.\d{3,9} /,
  /^\[\d{9,10}(?:\.\d+)?\] /,
  /^_bk;t=\d+/,
  // docker compose and the like
  /^[\w.-]+ +\| /,
];

/** Takes the stamps away that a line begins with. */
function unstamp(raw: string): Line {
  let text = raw;
  let kernel = false;
  for (let again = true; again && text !== ''; ) {
    again = false;
    const journal = JOURNAL.exec(text);
    if (journal !== null) {
      if (journal[1] === 'kernel') kernel = true;
      text = text.slice(journal[0].length);
      again = true;
      continue;
    }
    for (const stamp of STAMPS) {
      const hit = stamp.exec(text);
      if (hit === null || hit[0] === '') continue;
      text = text.slice(hit[0].length);
      again = true;
      break;
    }
  }
  return { text, kernel };
}

/** What a line of a result begins with, behind the runner's prefixes. */
const MARK = /(?:# )*(?:# {2}RUN {11}\S+ \.\.\.$|(?:not )?ok \d+ \w+\.\w+|# {11,12}(?:OK|FAIL) {2}\w+\.)/;

/** A prefix's shape as a regular expression: digits and runs of spaces may vary. */
function shape_of(prefix: string): string {
  return prefix
    .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    .replace(/\d+/g, '\\d+')
    .replace(/ +/g, ' +');
}

/** The stamp of a system that is not known here: what most marked lines begin with before their mark. */
function common_stamp(lines: readonly Line[]): RegExp | null {
  const shapes = new Map<string, number>();
  let marked = 0;
  for (const { text } of lines) {
    const at = text.search(MARK);
    if (at < 0) continue;
    marked++;
    if (at === 0 || KERNEL_STAMP.test(text)) continue;
    const shape = shape_of(text.slice(0, at).replace(/(?:# )+$/, ''));
    if (shape !== '') shapes.set(shape, (shapes.get(shape) ?? 0) + 1);
  }
  const [best] = [...shapes].sort((a, b) => b[1] - a[1]);
  return best !== undefined && best[1] >= 3 && best[1] > marked / 2 ? new RegExp(`^${best[0]}`) : null;
}

/**
 * The lines of a log without stamps. Where the results themselves carry the kernel's stamp (they went through the
 * console), it is taken from them too; elsewhere it marks a line as the kernel's.
 */
export function log_lines(text: string): Line[] {
  const clean = text.replace(TERMINAL, '').split(/\r*\n|\r(?!$)/);
  let lines = clean.map((raw) => unstamp(raw.replace(CONTROL, '').replace(/\r/g, '')));
  const common = common_stamp(lines);
  if (common !== null)
    lines = lines.map((line) => {
      const rest = line.text.replace(common, '');
      return rest === line.text ? line : { ...unstamp(rest), kernel: line.kernel };
    });
  const marked = lines.filter((line) => MARK.test(line.text));
  const bare = marked.filter((line) => line.text.search(MARK) === 0 && !line.kernel);
  if (marked.length > 0 && bare.length === 0)
    return lines.map((line) => ({
      text: line.text.replace(KERNEL_STAMP, ''),
      kernel: line.kernel && line.text.search(MARK) < 0,
    }));
  return lines;
}

/** A console's line at any place of another one. */
const CONSOLE = /(?:<\d+>)?\[ *\d+\.\d{6}\](?:\[ *[TC]\d+\])? .*$/;
/** What a line of a test program begins with, so that it is no rest of the line before. */
const OWN_LINE = /^(?:# |#$|ok |not ok |\d+\.\.\d+|K?TAP version|---ISO|KERNEL |Bail out!)/;

/**
 * Tells the console's lines from the programs'. A line that the console broke into two is put together again, in the
 * place of its first part.
 */
export function separate(lines: readonly Line[]): Line[] {
  const out: Line[] = [];
  let broken: Line | null = null;
  for (const line of lines) {
    if (line.kernel) {
      out.push({ text: line.text.replace(KERNEL_STAMP, ''), kernel: true });
      continue;
    }
    const at = line.text.search(CONSOLE);
    const own = at < 0 ? line.text : line.text.slice(0, at);
    let last: Line | null = null;
    if (broken !== null && own !== '' && !OWN_LINE.test(own)) {
      broken.text += own;
      last = broken;
    } else if (at !== 0) {
      last = { text: own, kernel: false };
      out.push(last);
    }
    if (at >= 0) {
      out.push({ text: line.text.slice(at).replace(KERNEL_STAMP, ''), kernel: true });
      if (last !== null) broken = last;
    } else {
      broken = null;
    }
  }
  return out;
}
