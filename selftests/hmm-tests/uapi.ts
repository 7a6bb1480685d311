// SPDX-License-Identifier: GPL-2.0-only
// The numbers of the user-space headers that the suite includes.

export * from '../../harness/kselftest/uapi.ts';
