// SPDX-License-Identifier: GPL-2.0-only

import { check_patches } from '../../lib/patches/check_patches.ts';
import type { PatchId } from '../../lib/patches/index.ts';
import { choice, type Option } from './command.ts';
import { UsageError } from './usage_error.ts';

/** The machine that a suite runs on, as the command line describes it. */
export interface MachineOptions {
  thp: 'always' | 'madvise' | 'never';
  /** physical addresses of the two coherent devices, null for none */
  spm: readonly [number, number] | null;
  /** bytes of RAM */
  mem: number;
  patches: readonly PatchId[];
}

const GIB = 1024 ** 3;
/** Bytes of one chunk of device memory (DEVMEM_CHUNK_SIZE of lib/test_hmm.c): what each coherent device is given. */
export const CHUNK = 256 * 1024 ** 2;
/** The two adjacent ranges that the recorded machine kept for coherent memory. */
export const SPM_DEFAULT: readonly [number, number] = [0x1_4000_0000, 0x1_5000_0000];

/** The states in a comma-separated list. Throws UsageError for one that there is not, or a set that cannot be. */
function patches_of(text: string): PatchId[] {
  try {
    return check_patches(text === '' ? [] : text.split(','));
  } catch (e) {
    throw e instanceof RangeError ? new UsageError(e.message) : e;
  }
}

function bytes(word: string, name: string): number {
  const hit = /^(\d+)([KMGT]?)$/.exec(word);
  const size = hit === null ? NaN : Number(hit[1]) * 1024 ** ' KMGT'.indexOf(hit[2] || ' ');
  if (!Number.isSafeInteger(size) || size === 0)
    throw new UsageError(`${name}=${word}: expected a number of bytes with a unit K, M, G or T, such as 6G`);
  return size;
}

function addresses(word: string, name: string): readonly [number, number] {
  const parts = word.split(',').map((part) => (part === '' ? NaN : Number(part)));
  const valid = parts.length === 2 && parts.every((a) => Number.isSafeInteger(a) && a > 0 && a % CHUNK === 0);
  if (!valid)
    throw new UsageError(
      `${name}=${word}: expected two physical addresses, multiples of 256 MiB, such as 0x140000000,0x150000000`,
    );
  if (parts[0] === parts[1])
    throw new UsageError(`${name}=${word}: expected two ranges of 256 MiB that do not overlap, got the same twice`);
  return [parts[0], parts[1]];
}

/** The option for states of the kernel, of every program that boots machines. */
export const patches_option: Option<readonly PatchId[]> = {
  value: 'ID,ID',
  help: 'states of the kernel that differ from Linux 7.3.4 (none)',
  standard: [],
  read: patches_of,
};

/** The options for a machine of a suite. Their values are MachineOptions. */
export const machine_options = {
  thp: choice('transparent huge pages', ['always', 'madvise', 'never'], 'always'),
  spm: {
    value: 'ADDR0,ADDR1',
    bare: SPM_DEFAULT,
    help: 'two devices with coherent memory, 256 MiB each (none; at 0x140000000 and 0x150000000)',
    standard: null,
    read: addresses,
  } as Option<readonly [number, number] | null>,
  mem: {
    value: 'SIZE',
    help: 'memory of the machine, with a unit K, M, G or T, a multiple of 4M (6G)',
    standard: 6 * GIB,
    read: bytes,
  } as Option<number>,
  patches: patches_option,
};

/** The machine of a command line without options. */
export const STANDARD_MACHINE: MachineOptions = { thp: 'always', spm: null, mem: 6 * GIB, patches: [] };
