// SPDX-License-Identifier: GPL-2.0-only
//
// How every program in harness/bin reads its command line, so that options, ranges, --help and mistakes are one thing:
//
//   run_commands('paint', [
//     command({
//       words: 'FILE',                              // what stands beside the options, for the help
//       count: [1, 1],                              // how many of those words; [0, Infinity] for any number
//       about: 'Paints what FILE describes.',
//       options: {
//         copies: whole('copies to make', { from: 1, to: 99, standard: 1 }),
//         colour: choice('colour to begin with', ['red', 'blue'], 'red'),
//         title: text('title of the picture', 'TITLE'),
//         quiet: flag('says nothing'),
//         patches: patches_option,                  // options.ts has those of a machine
//       },
//       run: (o, [file]) => paint(file, o.copies, o.colour, o.title ?? file),   // the exit status, or a promise of it
//     }),
//     command({ verb: 'list', words: '', count: [0, 0], about: 'Lists the colours.', options: {}, run: list }),
//   ]);
//
// A command with a `verb` is chosen by the first word; the one without is for all other first words. Options may stand
// anywhere, as `--name=value` or `--name value`; `--` ends them, and `-` alone is a word. `--help` (and `-h`) prints
// all commands with every option, its range and default, and exits with 0. A mistake is a UsageError: one line on
// standard error and exit status 2. program.ts says how other errors end.

import { BUILT } from './extension.ts';
import { print, run_program } from './program.ts';
import { did_you_mean, UsageError } from './usage_error.ts';

/** An option of a command line. */
export interface Option<T> {
  /** what the help calls its value; without one it is a flag */
  readonly value?: string;
  /** what it is where it was given without a value, for an option whose value only `=` may add */
  readonly bare?: T;
  /** what it does, with its range and default */
  readonly help: string;
  /** what it is where it was not given */
  readonly standard: T;
  /** left out of the help: what a program says to its own workers */
  readonly internal?: true;
  /** Its value. Throws UsageError, beginning with `name=word`, for one that it cannot have; `before` is what it was. */
  read(word: string, name: string, before: T): T;
}

/** An option that is there or not. */
export function flag(help: string): Option<boolean> {
  return { help, standard: false, read: () => true };
}

/** A flag that a program gives to its own workers. */
export const worker_flag: Option<boolean> = {
  ...flag('only works for another process of this program'),
  internal: true,
};

interface Whole {
  from: number;
  to: number;
  /** the default in words, where it is no number */
  says?: string;
}

/** A whole number in a range; null where it was not given and has no default. */
export function whole(help: string, o: Whole & { standard: number }): Option<number>;
export function whole(help: string, o: Whole): Option<number | null>;
export function whole(help: string, o: Whole & { standard?: number }): Option<number | null> {
  const says = o.says ?? o.standard;
  return {
    value: 'N',
    help: `${help}, ${o.from} to ${o.to}${says === undefined ? '' : ` (${says})`}`,
    standard: o.standard ?? null,
    read: (word, name) => {
      const n = /^\d+$/.test(word) ? Number(word) : NaN;
      if (!(n >= o.from && n <= o.to))
        throw new UsageError(`${name}=${word}: expected a whole number from ${o.from} to ${o.to}`);
      return n;
    },
  };
}

/** One of a few words. */
export function choice<W extends string>(help: string, words: readonly W[], standard: W): Option<W> {
  return {
    value: words.join('|'),
    help: `${help} (${standard})`,
    standard,
    read: (word, name) => {
      const hit = words.find((it) => it === word);
      if (hit === undefined)
        throw new UsageError(`${name}=${word}: expected ${words.slice(0, -1).join(', ')} or ${words.at(-1)}`);
      return hit;
    },
  };
}

/** Any text; null where it was not given. */
export function text(help: string, value: string): Option<string | null> {
  return { value, help, standard: null, read: (word) => word };
}

/** Any text, several times. */
export function texts(help: string, value: string): Option<readonly string[]> {
  return { value, help: `${help}; may be given again`, standard: [], read: (word, _, before) => [...before, word] };
}

// An option's type is both read and given to `read`, so a table of them can only be held as any.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Options = Readonly<Record<string, Option<any>>>;
type Values<O extends Options> = { [K in keyof O]: O[K]['standard'] };

interface Definition<O extends Options> {
  /** the first word that chooses it; without one it is for all other words */
  verb?: string;
  /** the words beside the options, as the help shows them */
  words: string;
  /** how many words at least and at most */
  count: readonly [number, number];
  /** what it does, in lines that the help shows as they are */
  about: string;
  options: O;
  /** leaves words that begin with one dash to `run`, as options of something else */
  foreign_options?: boolean;
  run(values: Values<O>, words: readonly string[]): number | Promise<number>;
}

export interface Command extends Omit<Definition<Options>, 'run'> {
  run(argv: readonly string[], usage: string): number | Promise<number>;
}

/** The values of options and the words beside them. Throws UsageError for what cannot be meant. */
export function parse<O extends Options>(
  d: Pick<Definition<O>, 'options' | 'foreign_options'>,
  argv: readonly string[],
): { values: Values<O>; words: string[] } {
  const names = Object.keys(d.options);
  const values: Record<string, unknown> = Object.fromEntries(names.map((name) => [name, d.options[name].standard]));
  const words: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i];
    if (word === '--') {
      words.push(...argv.slice(d.foreign_options ? i : i + 1));
      break;
    }
    if (!word.startsWith('-') || word === '-' || (d.foreign_options && !word.startsWith('--'))) {
      words.push(word);
      continue;
    }
    const cut = word.indexOf('=');
    const name = cut < 0 ? word : word.slice(0, cut);
    const key = name.slice(2);
    if (!name.startsWith('--') || !Object.hasOwn(d.options, key)) {
      const near = did_you_mean(
        name,
        names.map((it) => `--${it}`),
      );
      throw new UsageError(`unknown option ${name}${near === '' ? '; --help lists the options' : near}`);
    }
    const option = d.options[key];
    let value = cut < 0 ? undefined : word.slice(cut + 1);
    if (option.value === undefined) {
      if (value !== undefined) throw new UsageError(`${word}: ${name} takes no value`);
      value = '';
    } else if (value === undefined && option.bare !== undefined) {
      values[key] = option.bare;
      continue;
    } else {
      // A word that begins as an option does is no value, so that a forgotten value is told apart from a bad one.
      if (value === undefined && !argv[i + 1]?.startsWith('--')) value = argv[++i];
      if (value === undefined || value === '') throw new UsageError(`${name} needs a value: ${name}=${option.value}`);
    }
    values[key] = option.read(value, name, values[key]);
  }
  return { values: values as Values<O>, words };
}

/** A command of a program, for run_commands(). */
export function command<O extends Options>(d: Definition<O>): Command {
  return {
    ...d,
    run: (argv, usage) => {
      const { values, words } = parse(d, argv);
      const [least, most] = d.count;
      if (words.length < least || words.length > most) {
        const got = words.length === 0 ? 'nothing' : words.join(' ');
        throw new UsageError(`expected ${d.words === '' ? 'no word' : d.words}, got ${got}: ${usage}`);
      }
      return d.run(values, words);
    },
  };
}

/** How a user starts a program of harness/bin, for messages that say what to run. */
export function command_line(name: string, ...words: readonly string[]): string {
  return [BUILT ? `npx hmm-selftests ${name}` : `npm run -s ${name} --`, ...words].join(' ');
}

function usage_line(name: string, c: Command): string {
  const words = [c.verb ?? '', c.words, Object.keys(c.options).length > 0 ? '[options]' : ''];
  return command_line(name, ...words.filter((it) => it !== ''));
}

/** The lines of a table of options. */
export function options_help(options: Options): string {
  const shown = Object.entries(options).filter(([, o]) => o.internal !== true);
  const rows = shown.map(([name, o]) => {
    const value = o.value === undefined ? '' : o.bare === undefined ? `=${o.value}` : `[=${o.value}]`;
    return [`  --${name}${value}`, o.help];
  });
  const width = Math.min(30, Math.max(...rows.map(([left]) => left.length)));
  return rows
    .map(([left, right]) => `${left.length > width ? `${left}\n${' '.repeat(width)}` : left.padEnd(width)}  ${right}\n`)
    .join('');
}

/** What --help prints: every command, with its options. */
export function help(name: string, commands: readonly Command[]): string {
  return commands
    .map((c) => `usage: ${usage_line(name, c)}\n${c.about.trimEnd()}\n${options_help(c.options)}`)
    .join('\n');
}

/** Runs the command that the arguments name. It is all of a program, see the top of this file. */
export function run_commands(name: string, commands: readonly Command[], argv = process.argv.slice(2)): void {
  run_program(name, () => {
    const foreign = commands.some((c) => c.foreign_options === true);
    const own = argv.includes('--') ? argv.slice(0, argv.indexOf('--')) : argv;
    if (own.includes('--help') || (!foreign && own.includes('-h'))) {
      print(help(name, commands));
      return 0;
    }
    const verbs = commands.flatMap((c) => (c.verb === undefined ? [] : [c.verb]));
    const verb = commands.find((c) => c.verb !== undefined && c.verb === argv[0]);
    if (verb !== undefined) return verb.run(argv.slice(1), usage_line(name, verb));
    const plain = commands.find((c) => c.verb === undefined);
    if (plain !== undefined) {
      const late = argv.find((word) => verbs.includes(word));
      if (late !== undefined && argv[0].startsWith('-'))
        throw new UsageError(`${late} goes first: ${command_line(name, late)}`);
      return plain.run(argv, usage_line(name, plain));
    }
    const got = argv[0] ?? 'nothing';
    const near = did_you_mean(got, verbs);
    throw new UsageError(`expected ${verbs.join(', ')}, got ${got}${near === '' ? '; --help says more' : near}`);
  });
}
