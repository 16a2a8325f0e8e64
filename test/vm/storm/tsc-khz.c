// SPDX-License-Identifier: Apache-2.0
/*
 * tsc-khz - print the frequency of this machine's time stamp counter
 *
 * The emulator gives its guest the counter of the machine it runs on. A guest
 * that has to find out the frequency by itself gets it wrong now and then when
 * this machine is busy, and its clocks with it.
 */
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct moment {
	long ns;
	unsigned long long ticks;
};

static long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000000L + ts.tv_nsec;
}

/* The least disturbed of many readings. */
static struct moment look(void)
{
	struct moment best = { 0, 0 };
	long least = 0;

	for (int i = 0; i < 1000; i++) {
		long before = now();
		unsigned long long ticks = __rdtsc();
		long took = now() - before;

		if (i == 0 || took < least) {
			least = took;
			best = (struct moment){ before + took / 2, ticks };
		}
	}
	return best;
}

int main(void)
{
	struct timespec pause = { 0, 200000000 };
	struct moment a = look(), b;

	nanosleep(&pause, NULL);
	b = look();
	printf("%.0f\n", (double)(b.ticks - a.ticks) * 1e6 / (double)(b.ns - a.ns));
	return 0;
}
