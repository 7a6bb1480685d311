// SPDX-License-Identifier: GPL-2.0-only
// madvise(MADV_DONTNEED) of a page that was shared, against its migration to the device.

#include <pthread.h>
#include <sys/wait.h>
#include "race.h"

static int fd, ready[2];
static volatile int *page;
static char copy[PAGE] __attribute__((aligned(PAGE)));

static void *migrate(void *unused)
{
	struct hmm_dmirror_cmd cmd;
	char byte;

	if (read(ready[0], &byte, 1) != 1)
		_exit(2);
	mirror(fd, HMM_DMIRROR_MIGRATE_TO_DEV, &cmd, (void *)page, copy, PAGE);
	return unused;
}

int main(void)
{
	pthread_t t;
	pid_t child;
	int after;

	fd = mirror_open();
	page = map(PAGE);
	*page = 100;
	memset(copy, 0, sizeof(copy));
	// a page that was shared is not exclusive: its pte is not flushed one by one
	child = fork();
	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
	check(pipe(ready) == 0, "pipe");
	check(pthread_create(&t, NULL, migrate, NULL) == 0, "pthread_create");
	race(1);
	if (write(ready[1], "x", 1) != 1)
		_exit(2);
	after = *page;
	madvise((void *)page, PAGE, MADV_DONTNEED);
	after = *page;
	race(0);
	check(after == 0, "the page still holds what madvise() threw away");
	pthread_join(t, NULL);
	return 0;
}
