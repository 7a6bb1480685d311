/* SPDX-License-Identifier: GPL-2.0-only */
/* For programs whose race is explored: where it begins and ends, and what must hold. */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define HUGE (2 << 20)

/* lib/test_hmm_uapi.h */
struct hmm_dmirror_cmd {
	uint64_t addr, ptr, npages, cpages, faults;
};
#define HMM_DMIRROR_READ _IOWR('H', 0x00, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_WRITE _IOWR('H', 0x01, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_MIGRATE_TO_DEV _IOWR('H', 0x02, struct hmm_dmirror_cmd)
#define HMM_DMIRROR_MIGRATE_TO_SYS _IOWR('H', 0x03, struct hmm_dmirror_cmd)

#define check(ok, ...) \
	do { \
		if (!(ok)) { \
			race(0); \
			fprintf(stderr, __VA_ARGS__); \
			fputc('\n', stderr); \
			_exit(1); \
		} \
	} while (0)

static int race_fd = -1;

/* From race(1) to race(0) every access and every lock may be where another thread goes on. */
static inline void race(int begins)
{
	if (race_fd < 0)
		race_fd = open("/dev/race", O_WRONLY);
	if (race_fd >= 0 && write(race_fd, "race", begins ? 4 : 1) < 0)
		_exit(2);
}

static inline int mirror_open(void)
{
	int fd = open("/dev/hmm_dmirror0", O_RDWR);

	check(fd >= 0, "no /dev/hmm_dmirror0");
	return fd;
}

/* Returns what the ioctl does; cmd has the counts then. */
static inline int mirror(int fd, unsigned long what, struct hmm_dmirror_cmd *cmd, void *p, void *copy, size_t bytes)
{
	memset(cmd, 0, sizeof(*cmd));
	cmd->addr = (uintptr_t)p;
	cmd->ptr = (uintptr_t)copy;
	cmd->npages = bytes / PAGE;
	return ioctl(fd, what, cmd);
}

static inline void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(p != MAP_FAILED, "mmap of %zu bytes", bytes);
	return p;
}
