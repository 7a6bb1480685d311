// SPDX-License-Identifier: GPL-2.0-only

export * from '../../lib/user/uapi.ts';
