// SPDX-License-Identifier: GPL-2.0-only

import type { CpuLevel } from '../../lib/arch/x86/user/cpu.ts';
import { choice, text } from '../cli/command.ts';

/** A compiled program, with what it finds on its machine. */
export interface Binary {
  /** path on the host */
  readonly file: string;
  /** directory of the host with its libraries, its / */
  readonly root: string;
  readonly cpu: CpuLevel;
}

/** What a compiled program finds on its machine. */
export const host_options = {
  root: {
    ...text('directory with the libraries of a compiled program, its / (/)', 'DIR'),
    standard: '/',
  },
  cpu: choice('level of x86-64 of the processor that a compiled program runs on', ['v1', 'v2'], 'v1'),
};

/** Options of the commands that run the ported suite, or else the user's own binary. */
export const binary_options = {
  binary: text('the suite that was compiled, in place of the ported one', 'FILE'),
  ...host_options,
};

/** The compiled suite that the options name, if they do. */
export function binary_of(o: { binary: string | null; root: string | null; cpu: Binary['cpu'] }): Binary | undefined {
  return o.binary === null ? undefined : { file: o.binary, root: o.root ?? '/', cpu: o.cpu };
}

/** The options that make another process of the program run the same binary. */
export function binary_words(binary: Binary | undefined): string[] {
  return binary === undefined ? [] : [`--binary=${binary.file}`, `--root=${binary.root}`, `--cpu=${binary.cpu}`];
}
