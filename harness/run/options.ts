// SPDX-License-Identifier: GPL-2.0-only

import { text } from '../cli/command.ts';

/** Where a compiled program finds its libraries. */
export const root_option = {
  ...text('directory with the libraries of a compiled program, its / (/)', 'DIR'),
  standard: '/',
};

/** Options of the commands that run the ported suite, or else the user's own binary. */
export const binary_options = {
  binary: text('the suite that was compiled, in place of the ported one', 'FILE'),
  root: root_option,
};

/** The compiled suite that the options name, if they do. */
export function binary_of(o: {
  binary: string | null;
  root: string | null;
}): { file: string; root: string } | undefined {
  return o.binary === null ? undefined : { file: o.binary, root: o.root ?? '/' };
}

/** The options that make another process of the program run the same binary. */
export function binary_words(binary: { file: string; root: string } | undefined): string[] {
  return binary === undefined ? [] : [`--binary=${binary.file}`, `--root=${binary.root}`];
}
