// SPDX-License-Identifier: GPL-2.0-only
// Numbers of the user-space headers that the suite includes.

export * from '../../lib/user/uapi.ts';
