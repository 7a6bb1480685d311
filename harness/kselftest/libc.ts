// SPDX-License-Identifier: GPL-2.0-only

export { type Libc, runProgram } from '../../lib/user/libc.ts';
