// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { choice, command, flag, help, parse, text, texts, whole } from './command.ts';

const options = {
  copies: whole('copies to make', { from: 1, to: 99, standard: 2 }),
  limit: whole('stops there', { from: 0, to: 10 }),
  colour: choice('colour to begin with', ['red', 'green', 'blue'], 'red'),
  title: text('title of the picture', 'TITLE'),
  only: texts('paints only that', 'THING'),
  quiet: flag('says nothing'),
};
const paint = command({
  words: 'FILE',
  count: [1, 1],
  about: 'Paints.',
  options,
  run: (o, words) => o.copies + words.length,
});

t.test('options stand anywhere among the words, with = or a blank before the value', async (t) => {
  const { values, words } = parse({ options }, ['a', '--copies', '7', '--quiet', 'b', '--title=x=y', '-', '--', '--c']);
  t.same(values, { copies: 7, limit: null, colour: 'red', title: 'x=y', only: [], quiet: true });
  t.same(words, ['a', 'b', '-', '--c']);
  t.same(parse({ options }, ['--only=a', '--only', 'b', '--copies=1', '--copies=9']).values, {
    copies: 9,
    limit: null,
    colour: 'red',
    title: null,
    only: ['a', 'b'],
    quiet: false,
  });
});

t.test('options with one dash are left to the program that they belong to', async (t) => {
  const { values, words } = parse({ options, foreign_options: true }, ['-r', 'x', '--quiet', '--', '--copies']);
  t.equal(values.quiet, true);
  t.same(words, ['-r', 'x', '--', '--copies']);
});

t.test('a mistake is one line that names the word, what was expected, and what to do', async (t) => {
  for (const [argv, expected] of [
    [['--copies=0'], '--copies=0: expected a whole number from 1 to 99'],
    [['--copies=100'], '--copies=100: expected a whole number from 1 to 99'],
    [['--copies=1e1'], '--copies=1e1: expected a whole number from 1 to 99'],
    [['--copies', '-1'], '--copies=-1: expected a whole number from 1 to 99'],
    [['--limit=11'], '--limit=11: expected a whole number from 0 to 10'],
    [['--copies'], '--copies needs a value: --copies=N'],
    [['--copies', '--quiet'], '--copies needs a value: --copies=N'],
    [['--colour=pink'], '--colour=pink: expected red, green or blue'],
    [['--title='], '--title needs a value: --title=TITLE'],
    [['--quiet=yes'], '--quiet=yes: --quiet takes no value'],
    [['--copis=1'], 'unknown option --copis; did you mean --copies?'],
    [['--frobnicate'], 'unknown option --frobnicate; --help lists the options'],
    [['-x'], 'unknown option -x; --help lists the options'],
    [['--toString'], 'unknown option --toString; --help lists the options'],
  ] as const) {
    t.throws(() => parse({ options }, argv), { message: expected }, argv.join(' '));
  }
  t.throws(() => paint.run([], 'usage'), { message: 'expected FILE, got nothing: usage' });
  t.throws(() => paint.run(['a', 'b'], 'usage'), { message: 'expected FILE, got a b: usage' });
  t.equal(paint.run(['a'], 'usage'), 3);
});

t.test('the help names every option with its range and default', async (t) => {
  t.equal(
    help('paint', [paint]),
    `usage: npm run -s paint -- FILE [options]
Paints.
  --copies=N               copies to make, 1 to 99 (2)
  --limit=N                stops there, 0 to 10
  --colour=red|green|blue  colour to begin with (red)
  --title=TITLE            title of the picture
  --only=THING             paints only that; may be given again
  --quiet                  says nothing
`,
  );
});
