/* Reads the time in a loop, and says when it began and ended, and how long it took by the monotonic clock. It waits for input when there is more to do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long long read_clock(clockid_t id)
{
	struct timespec t;
	if (clock_gettime(id, &t) || t.tv_nsec < 0 || t.tv_nsec > 999999999)
		exit(2);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
	int n = atoi(argv[1]);
	char line[16];
	do {
		long long begin = read_clock(CLOCK_REALTIME), mono = read_clock(CLOCK_MONOTONIC), last = mono, real = begin;
		for (int i = 0; i < n; i++) {
			long long now = read_clock(i & 1 ? CLOCK_MONOTONIC : CLOCK_BOOTTIME);
			long long r = read_clock(CLOCK_REALTIME);
			struct timeval tv;
			if (gettimeofday(&tv, 0))
				return 3;
#ifdef __GLIBC__ /* musl's clock_getres is always a system call */
			struct timespec res;
			if (clock_getres(CLOCK_MONOTONIC, &res) || res.tv_sec || res.tv_nsec != 1)
				return 4;
#endif
			long long us = tv.tv_sec * 1000000LL + tv.tv_usec;
			time_t s, seconds = time(&s);
			if (now < last || r < real || us < r / 1000 || seconds != s || seconds < us / 1000000) {
				printf("back: %lld %lld %lld %lld %lld %lld\n", now, last, r, real, us, (long long)seconds);
				return 1;
			}
			last = now, real = r;
		}
		printf("%lld %lld %lld %lld\n", begin, real, last - mono, mono);
		fflush(stdout);
	} while (argc > 2 && read(0, line, sizeof line) > 0);
	return 0;
}
