// SPDX-License-Identifier: GPL-2.0-only
// Two threads add one to a counter without a lock.

#include <pthread.h>
#include "race.h"

static volatile int counter;
static int ready[2];

static void *other(void *unused)
{
	char byte;

	if (read(ready[0], &byte, 1) != 1)
		_exit(2);
	counter++;
	return unused;
}

int main(void)
{
	pthread_t t;

	check(pipe(ready) == 0, "pipe");
	check(pthread_create(&t, NULL, other, NULL) == 0, "pthread_create");
	race(1);
	if (write(ready[1], "x", 1) != 1)
		_exit(2);
	counter++;
	pthread_join(t, NULL);
	race(0);
	check(counter == 2, "the counter is %d", counter);
	return 0;
}
