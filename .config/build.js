// SPDX-License-Identifier: GPL-2.0-only
// `npm run build`: JavaScript and declarations of everything but the tests in dist/, since Node strips no types below
// node_modules. Recorded results go beside the programs that read them.

import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, readdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const top = fileURLToPath(new URL('..', import.meta.url));
const dist = `${top}dist/`;

rmSync(dist, { recursive: true, force: true });
const tsc = spawnSync(process.execPath, [`${top}node_modules/typescript/bin/tsc`, '-p', `${top}.config/build.json`], {
  stdio: 'inherit',
});
if (tsc.status !== 0) process.exit(tsc.status ?? 1);

for (const name of readdirSync(`${top}selftests`, { recursive: true, encoding: 'utf8' }))
  if (name.endsWith('.ktap')) cpSync(`${top}selftests/${name}`, `${dist}selftests/${name}`);

// The grammar is all that is used of its package, which would be built on the user's machine.
cpSync(`${top}node_modules/tree-sitter-c/tree-sitter-c.wasm`, `${dist}harness/drift/tree-sitter-c.wasm`);

chmodSync(`${dist}harness/bin/hmm-selftests.js`, 0o755);
