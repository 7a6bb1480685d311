// SPDX-License-Identifier: GPL-2.0-only
// `node --import tsx harness/upstream/pin-names.ts LINUX_SOURCE`: rewrites lib/upstream-names.txt, the names that lib may cite.
// For every upstream file that lib cites it lists what that file defines: functions, macros, structures, enums.

import { readFileSync, readdirSync, writeFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';

const CITED_FILE = /\b((?:[a-z0-9_-]+\/)+[A-Za-z0-9_.-]+\.[chS]):/g;
const DEFINITIONS = [
  /^#\s*define\s+([A-Za-z_]\w*)/,
  /^\s*#?\s*(?:struct|union|enum)\s+([A-Za-z_]\w*)\s*\{/,
  /^(?:[A-Za-z_][\w\s*]*?[\s*])?([A-Za-z_]\w*)\s*\([^;]*$/,
  /^(?:[A-Za-z_][\w\s*]*?[\s*])?([A-Za-z_]\w*)\s*\(.*\)\s*(?:\{.*)?$/,
  /^typedef .*?\b([A-Za-z_]\w*);/,
  /^}\s*([A-Za-z_]\w*)(?:\s+\w+)?;/,
  /^\t([A-Z_][A-Z0-9_]+)(?:\s*=.*)?,/,
  /^(?:static |const |extern )*(?:struct \w+|DEFINE_\w+|\w+)[\s*(]+(\w+)(?:\[.*\])?\s*(?:=|\)|;)/,
  /^(?:PAGEFLAG|TESTPAGEFLAG|SETPAGEFLAG|CLEARPAGEFLAG|__\w*PAGEFLAG|FOLIO_\w*FLAG|TESTSCFLAG|PAGE_TYPE_OPS|FOLIO_TYPE_OPS|SYSCALL_DEFINE\d|DECLARE_VMA_BIT)\w*\((\w+)/,
];

/** Every lib source that is not a test. */
function sources(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((e) => e.isFile() && e.name.endsWith('.ts') && !e.name.endsWith('.test.ts'))
    .map((e) => join(e.parentPath, e.name))
    .sort();
}

function main(tree: string | undefined): void {
  if (tree === undefined || !existsSync(join(tree, 'mm/hmm.c'))) {
    process.stderr.write(`pin-names: expected the path of a Linux source tree, got ${tree ?? 'nothing'}\n`);
    process.exitCode = 2;
    return;
  }
  const cited = new Set<string>();
  for (const file of sources('lib'))
    for (const hit of readFileSync(file, 'utf8').matchAll(CITED_FILE)) cited.add(hit[1]);
  const out: string[] = [];
  for (const path of [...cited].sort()) {
    const at = join(tree, path);
    if (!existsSync(at)) {
      process.stderr.write(`pin-names: ${path} is cited and not in ${tree}\n`);
      process.exitCode = 1;
      continue;
    }
    const names = new Set<string>();
    for (const line of readFileSync(at, 'utf8').split('\n')) {
      for (const re of DEFINITIONS) {
        const name = re.exec(line)?.[1];
        if (name !== undefined) names.add(name);
      }
    }
    out.push(`${path} ${[...names].sort().join(' ')}`);
  }
  writeFileSync('lib/upstream-names.txt', `${out.join('\n')}\n`);
}

if (process.argv[1]?.endsWith('pin-names.ts')) main(process.argv[2]);
