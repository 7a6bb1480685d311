// SPDX-License-Identifier: GPL-2.0-only
// How the project's files are called where they run: as sources, or as the package that was built from them.

/** `.ts`, or `.js` in the built package. */
export const EXTENSION = import.meta.url.endsWith('.ts') ? '.ts' : '.js';

/** This is the built package: no TypeScript can be loaded, and commands are started by npx. */
export const BUILT = EXTENSION === '.js';
