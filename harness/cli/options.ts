// SPDX-License-Identifier: GPL-2.0-only

import { check_patches } from '../../lib/patches/index.ts';

/** The machine that a suite runs on, as the command line describes it. */
export interface MachineOptions {
  thp: 'always' | 'madvise' | 'never';
  /** physical addresses of the two coherent devices, null for none */
  spm: readonly [number, number] | null;
  /** bytes of RAM */
  mem: number;
  patches: readonly string[];
}

const GIB = 1024 ** 3;
/** Bytes of one chunk of device memory (DEVMEM_CHUNK_SIZE of lib/test_hmm.c): what each coherent device is given. */
export const CHUNK = 256 * 1024 ** 2;
/** The two adjacent ranges that the recorded machine kept for coherent memory. */
export const SPM_DEFAULT: readonly [number, number] = [0x1_4000_0000, 0x1_5000_0000];

export const MACHINE_USAGE = `  --thp=always|madvise|never  transparent huge pages (always)
  --spm[=ADDR0,ADDR1]         two devices with coherent memory, 256 MiB each (at 0x140000000 and 0x150000000)
  --mem=SIZE                  memory of the machine, with a unit K, M, G or T (6G)
  --patches=NAME,NAME         states of the kernel that differ from Linux 7.3.4
`;

/** A mistake in a program's arguments: the program says so and exits with status 2. */
export class UsageError extends Error {}

/** The states in a comma-separated list. Throws UsageError for one that there is not, or a set that cannot be. */
export function patches_of(text: string): string[] {
  const patches = text.split(',').filter((id) => id !== '');
  try {
    check_patches(patches);
  } catch (e) {
    throw e instanceof RangeError ? new UsageError(e.message) : e;
  }
  return patches;
}

function bytes(text: string): number {
  const hit = /^(\d+)([KMGT]?)$/.exec(text);
  if (hit === null)
    throw new UsageError(`--mem=${text}: expected a number of bytes with a unit K, M, G or T, such as 6G`);
  return Number(hit[1]) * 1024 ** ' KMGT'.indexOf(hit[2] || ' ');
}

function addresses(text: string): readonly [number, number] {
  const parts = text.split(',').map(Number);
  const valid = parts.length === 2 && parts.every((a) => Number.isSafeInteger(a) && a > 0 && a % CHUNK === 0);
  if (!valid)
    throw new UsageError(
      `--spm=${text}: expected two physical addresses, multiples of 256 MiB, such as 0x140000000,0x150000000`,
    );
  return [parts[0], parts[1]];
}

/** Takes the machine's options out of a command line; answers them and the arguments that are left. */
export function machine_options(argv: readonly string[]): { options: MachineOptions; rest: string[] } {
  const options: MachineOptions = { thp: 'always', spm: null, mem: 6 * GIB, patches: [] };
  const rest: string[] = [];
  for (const word of argv) {
    const [name, value] = word.includes('=')
      ? [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]
      : [word, null];
    if (name === '--spm') options.spm = value === null ? SPM_DEFAULT : addresses(value);
    else if (!['--thp', '--mem', '--patches'].includes(name)) rest.push(word);
    else if (value === null || value === '') throw new UsageError(`${name} needs a value: ${name}=...`);
    else if (name === '--mem') options.mem = bytes(value);
    else if (name === '--patches') options.patches = value.split(',');
    else if (value === 'always' || value === 'madvise' || value === 'never') options.thp = value;
    else throw new UsageError(`--thp=${value}: expected always, madvise or never`);
  }
  return { options, rest };
}
