// SPDX-License-Identifier: GPL-2.0-only
// Fills ints and adds them up, for the benchmark.

#include <stdio.h>
#include <stdlib.h>

#define INTS (1 << 20)

int main(void)
{
	unsigned int *p = malloc(INTS * sizeof(*p)), sum = 0;

	if (p == NULL)
		return 1;
	for (int round = 0; round < 100; round++) {
		for (unsigned int k = 0; k < INTS; k++)
			p[k] = k ^ round;
		for (unsigned int k = 0; k < INTS; k++)
			sum += p[k];
	}
	printf("%u\n", sum);
	return 0;
}
