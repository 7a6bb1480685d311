// SPDX-License-Identifier: GPL-2.0-only
// From the bytes of a file of results to its text: compression, encodings, and what a file is that holds none.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants, gunzipSync } from 'node:zlib';
import { UsageError } from '../cli/usage_error.ts';

/** A file's text; `cut` says that its compressed data ended early. */
export interface FileText {
  text: string;
  cut: boolean;
}

/** Beginnings of files that are not text, by what they are and what to do about them. */
const NOT_TEXT: readonly (readonly [magic: string, at: number, what: string])[] = [
  ['BZh', 0, 'it is compressed with bzip2; unpack it first: bzip2 -d'],
  ['\x28\xb5\x2f\xfd', 0, 'it is compressed with zstd; unpack it first: zstd -d'],
  ['\x04\x22\x4d\x18', 0, 'it is compressed with lz4; unpack it first: lz4 -d'],
  ['PK\x03\x04', 0, 'it is a zip archive; unpack it and give the file of results in it'],
  ['7z\xbc\xaf', 0, 'it is a 7-Zip archive; unpack it and give the file of results in it'],
  ['ustar', 257, 'it is a tar archive; unpack it and give the file of results in it'],
  ['\x7fELF', 0, 'it is an ELF file, a program or a core; run it and give what it prints'],
  ['KDUMP', 0, 'it is a kernel dump; give the log in it (crash, command log)'],
  ['%PDF', 0, 'it is a PDF document; give the plain text of the results'],
  ['\x89PNG', 0, 'it is a picture; give the plain text of the results'],
  ['\xff\xd8\xff', 0, 'it is a picture; give the plain text of the results'],
  ['LPKSHHRH', 0, 'it is a journal of systemd; give its text: journalctl --file FILE'],
  ['PERFILE2', 0, 'it is data of perf; give what hmm-tests printed'],
  ['tracedat', 0, 'it is data of trace-cmd; give what hmm-tests printed'],
];

function starts(bytes: Uint8Array, magic: string, at = 0): boolean {
  return [...magic].every((c, i) => bytes[at + i] === c.charCodeAt(0));
}

/** Unpacks what gzip packed, as far as it goes. */
function gunzip(bytes: Uint8Array): { bytes: Uint8Array; cut: boolean } {
  try {
    return { bytes: gunzipSync(bytes), cut: false };
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'Z_BUF_ERROR') throw e;
    return { bytes: gunzipSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH }), cut: true };
  }
}

/** Unpacks what xz packed; of a file that was cut, what came before. Node.js has no decoder for it, so xz(1) does. */
function unxz(bytes: Uint8Array): { bytes: Uint8Array; cut: boolean } {
  const { error, status, stdout, stderr } = spawnSync('xz', ['-dc'], { input: bytes, maxBuffer: 1024 ** 3 });
  if (error !== undefined) throw new Error(`xz(1) cannot be run: ${error.message}; unpack the file first: xz -d`);
  if (status !== 0 && stdout.length === 0) throw new Error(stderr.toString().trim());
  return { bytes: stdout, cut: status !== 0 };
}

/** Shares of NULs at even and at odd places: text in UTF-16 has about a half of them at one of the two. */
function utf16_without_mark(bytes: Uint8Array): 'utf-16le' | 'utf-16be' | null {
  const sample = bytes.subarray(0, 4096);
  const nuls = [0, 0];
  sample.forEach((b, i) => {
    if (b === 0) nuls[i % 2]++;
  });
  const half = sample.length / 2;
  if (nuls[1] > half * 0.7 && nuls[0] < half * 0.3) return 'utf-16le';
  if (nuls[0] > half * 0.7 && nuls[1] < half * 0.3) return 'utf-16be';
  return null;
}

function decode(bytes: Uint8Array): string {
  if (starts(bytes, '\xff\xfe')) return new TextDecoder('utf-16le').decode(bytes);
  if (starts(bytes, '\xfe\xff')) return new TextDecoder('utf-16be').decode(bytes);
  return new TextDecoder(utf16_without_mark(bytes) ?? 'utf-8').decode(bytes);
}

/** The text in a file's bytes. Throws UsageError, naming the file, for what holds no text. */
export function text_of(bytes: Uint8Array, name: string): FileText {
  const alien = NOT_TEXT.find(([magic, at]) => starts(bytes, magic, at));
  if (alien !== undefined) throw new UsageError(`${name}: ${alien[2]}`);
  const packed = starts(bytes, '\x1f\x8b') ? 'gzip' : starts(bytes, '\xfd7zXZ\0') ? 'xz' : null;
  if (packed === null) return { text: decode(bytes), cut: false };
  let inner: { bytes: Uint8Array; cut: boolean };
  try {
    inner = packed === 'gzip' ? gunzip(bytes) : unxz(bytes);
  } catch (e) {
    throw new UsageError(`${name}: its ${packed} data are damaged (${(e as Error).message}); pack the file again`);
  }
  const again = text_of(inner.bytes, name);
  return { text: again.text, cut: inner.cut || again.cut };
}

/** Reads a file, or standard input for `-`. Throws UsageError, naming the file, if it cannot. */
export function read_text(path: string): FileText {
  const name = path === '-' ? 'standard input' : path;
  if (path === '-' && process.stdin.isTTY)
    throw new UsageError('standard input: it is a terminal; pipe the results into this command');
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path === '-' ? 0 : path);
  } catch (e) {
    const { code, message } = e as NodeJS.ErrnoException;
    const why: Readonly<Record<string, string>> = {
      ENOENT: 'there is no such file',
      EISDIR: 'it is a directory; give the file of results in it',
      EACCES: 'this user may not read it',
      ERR_FS_FILE_TOO_LARGE: 'it is larger than 2 GiB; give the part that holds the results',
    };
    throw new UsageError(`${name}: ${why[code ?? ''] ?? message}`);
  }
  if (bytes.length === 0) throw new UsageError(`${name}: the file is empty`);
  const file = text_of(bytes, name);
  if (file.text.trim() === '') throw new UsageError(`${name}: the file is empty`);
  return file;
}

/** What a text without results looks like, and what to do: the end of a sentence. */
export function looks_like(text: string): string {
  const head = text.trimStart().slice(0, 4000);
  const lines = head.split('\n');
  if (/^<(?:!doctype|html|\?xml)/i.test(head)) return 'it looks like a web page or XML: give the raw log behind it';
  if (/^(?:diff --git|From [0-9a-f]{40} |--- a\/)/.test(head))
    return 'it looks like a patch: give what hmm-tests printed';
  if (/^\{"(?:program|op|seed|name)"/.test(head))
    return 'it looks like a program of single operations: replay reads those';
  if (/^[[{]/.test(head) && /"/.test(head)) return 'it looks like JSON: give the raw log behind it';
  if (/^#!|^\/\/ SPDX|^#include/.test(head)) return 'it looks like a source: give what hmm-tests printed';
  if (/^(?:# FIXTURE|Usage: )/m.test(head) && /VARIANT|\[-h\|-l/.test(head))
    return 'it holds a list of tests or a usage text: run hmm-tests without -l and -h';
  if (lines.filter((line) => /\[ *\d+\.\d{6}\]/.test(line)).length > lines.length / 2)
    return 'it looks like a log of the kernel only: give what hmm-tests printed, alone or with the log';
  if (/\[==========\]|\[ RUN {6}\]/.test(head))
    return 'it looks like output of GoogleTest: give what hmm-tests printed';
  if (/^\s*KTAP version|^\s*# Subtest:/m.test(head))
    return 'it looks like KUnit results: give what hmm-tests of tools/testing/selftests/mm printed';
  return 'expected lines such as "ok 1 hmm.hmm_device_private.open_close"';
}
