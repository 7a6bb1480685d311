// SPDX-License-Identifier: GPL-2.0-only

/** One result of getopt(3): the option letter, '?' for an invalid one, with its argument or an error message. */
interface Opt {
  opt: string;
  optarg: string;
  error?: string;
}

/**
 * Returns all options of an argument list as GNU getopt(3) does: letters may be joined, an argument may follow its
 * letter directly, operands are skipped, and `--` ends the options.
 */
export function getopt(argv: readonly string[], optstring: string): Opt[] {
  const found: Opt[] = [];
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i];
    if (word === '--') break;
    if (word.length < 2 || word[0] !== '-') continue;
    for (let at = 1; at < word.length; at++) {
      const opt = word[at];
      const known = opt === ':' ? -1 : optstring.indexOf(opt);
      if (known < 0) {
        found.push({ opt: '?', optarg: '', error: `invalid option -- '${opt}'` });
        continue;
      }
      if (optstring[known + 1] !== ':') {
        found.push({ opt, optarg: '' });
        continue;
      }
      const rest = word.slice(at + 1);
      if (rest !== '') found.push({ opt, optarg: rest });
      else if (i + 1 < argv.length) found.push({ opt, optarg: argv[++i] });
      else found.push({ opt: '?', optarg: '', error: `option requires an argument -- '${opt}'` });
      break;
    }
  }
  return found;
}
