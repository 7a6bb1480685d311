// SPDX-License-Identifier: GPL-2.0-only
// User interface of /dev/hmm_dmirror0 to 3 (lib/test_hmm_uapi.h).

/** Size of struct hmm_dmirror_cmd and offsets of its five u64. */
export const HMM_DMIRROR_CMD = { size: 40, addr: 0, ptr: 8, npages: 16, cpages: 24, faults: 32 } as const;

/** The structure of the series of January 2022, with a sixth u64. NON-KERNEL (20220110223201.31024-7). */
export const HMM_DMIRROR_CMD_V3 = { ...HMM_DMIRROR_CMD, size: 48, zone_device_type: 40 } as const;

/**
 * Returns the number of an ioctl of type 'H' that reads and writes `size` bytes; above 2^31
 * (include/uapi/asm-generic/ioctl.h: _IOWR()).
 */
export function iowr(nr: number, size: number = HMM_DMIRROR_CMD.size): number {
  return 3 * 2 ** 30 + size * 2 ** 16 + 0x48 * 2 ** 8 + nr;
}

export const HMM_DMIRROR_READ = iowr(0x00);
export const HMM_DMIRROR_WRITE = iowr(0x01);
export const HMM_DMIRROR_MIGRATE_TO_DEV = iowr(0x02);
export const HMM_DMIRROR_MIGRATE_TO_SYS = iowr(0x03);
export const HMM_DMIRROR_SNAPSHOT = iowr(0x04);
export const HMM_DMIRROR_EXCLUSIVE = iowr(0x05);
export const HMM_DMIRROR_CHECK_EXCLUSIVE = iowr(0x06);
export const HMM_DMIRROR_RELEASE = iowr(0x07);
export const HMM_DMIRROR_FLAGS = iowr(0x08);
export const HMM_DMIRROR_READ_UNLOCKED = iowr(0x09);

/** Last command of the series of January 2022: returns HMM_DMIRROR_MEMORY_DEVICE_*. */
export const HMM_DMIRROR_GET_MEM_DEV_TYPE = iowr(0x07, HMM_DMIRROR_CMD_V3.size);

/** The next allocation of a page or huge page during migration fails. */
export const HMM_DMIRROR_FLAG_FAIL_ALLOC = 1 << 0;

// Snapshot bytes: one of the sources below, or'ed with READ or WRITE and PMD or PUD.
export const HMM_DMIRROR_PROT_ERROR = 0xff;
export const HMM_DMIRROR_PROT_NONE = 0x00;
export const HMM_DMIRROR_PROT_READ = 0x01;
export const HMM_DMIRROR_PROT_WRITE = 0x02;
export const HMM_DMIRROR_PROT_PMD = 0x04;
export const HMM_DMIRROR_PROT_PUD = 0x08;
export const HMM_DMIRROR_PROT_ZERO = 0x10;
export const HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL = 0x20;
export const HMM_DMIRROR_PROT_DEV_PRIVATE_REMOTE = 0x30;
export const HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL = 0x40;
export const HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE = 0x50;

export const HMM_DMIRROR_MEMORY_DEVICE_PRIVATE = 1;
export const HMM_DMIRROR_MEMORY_DEVICE_COHERENT = 2;
