// SPDX-License-Identifier: GPL-2.0-only

import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const COMPILERS = [['cc'], ['gcc'], ['musl-gcc'], ['zig', 'cc', '-target', 'x86_64-linux-musl']] as const;

/**
 * Compiles a C program, for x86-64 and statically linked unless other flags are given. Returns its path, or null where
 * no compiler of this machine can.
 */
export function compile(source: string, flags: readonly string[] = ['-static']): string | null {
  const out = join(mkdtempSync(join(tmpdir(), 'hmm-selftests-')), 'program');
  for (const [command, ...first] of COMPILERS) {
    const argv = [...first, '-O2', '-pthread', ...flags, '-o', out, source];
    const { status } = spawnSync(command, argv, { stdio: 'ignore' });
    if (status === 0) return out;
  }
  return null;
}
