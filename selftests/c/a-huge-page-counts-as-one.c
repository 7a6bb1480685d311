// SPDX-License-Identifier: GPL-2.0-only
// What a migration of a huge page to the device and back says it has migrated.

#include "race.h"

int main(void)
{
	struct hmm_dmirror_cmd cmd;
	char *raw = map(2 * HUGE), *p = (char *)(((uintptr_t)raw + HUGE - 1) & ~(uintptr_t)(HUGE - 1)), *copy = map(HUGE);
	int fd = mirror_open();

	madvise(p, HUGE, MADV_HUGEPAGE);
	memset(p, 1, HUGE);
	memset(copy, 0, HUGE);
	check(mirror(fd, HMM_DMIRROR_MIGRATE_TO_DEV, &cmd, p, copy, HUGE) == 0, "migrating to the device");
	check(mirror(fd, HMM_DMIRROR_MIGRATE_TO_SYS, &cmd, p, copy, HUGE) == 0, "migrating back");
	check(cmd.cpages == HUGE / PAGE, "cpages is %d", (int)cmd.cpages);
	return 0;
}
