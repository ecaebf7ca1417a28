/* A storm of threads: mutexes, condition variables, malloc, thread-local storage, joins and signals. Its output is the same each time. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORKERS 8
static int rounds = 200;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long queue[16], sent, received, sum;
static int used, done;
static atomic_long handled;
static __thread long mine;

static void on_signal(int s) { atomic_fetch_add(&handled, s == SIGUSR1); }

static void *produce(void *arg)
{
	for (long i = 0; i < rounds; i++) {
		pthread_mutex_lock(&lock);
		while (used == 16)
			pthread_cond_wait(&changed, &lock);
		queue[used++] = (long)(intptr_t)arg * 1000 + i;
		sent++;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
		mine += i;
	}
	return (void *)mine;
}

static void *consume(void *arg)
{
	uint64_t h = 1469598103934665603u;
	for (;;) {
		pthread_mutex_lock(&lock);
		while (used == 0 && !done)
			pthread_cond_wait(&changed, &lock);
		if (used == 0) {
			pthread_mutex_unlock(&lock);
			return (void *)mine;
		}
		long v = queue[--used];
		received++;
		sum += v;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
		size_t n = 16 + v % 3000;
		unsigned char *p = malloc(n);
		memset(p, (int)v, n);
		for (size_t i = 0; i < n; i++) {
			if (p[i] != (unsigned char)v)
				abort();
			h = (h ^ p[i]) * 1099511628211u;
		}
		double d = (double)v;
		for (int i = 0; i < 50; i++)
			d = d * 1.0000001 + 0.5;
		if (d < (double)v)
			abort();
		free(p);
		mine++;
	}
}

static void *nothing(void *arg) { return arg; }

int main(int argc, char **argv)
{
	if (argc > 1)
		rounds = atoi(argv[1]);
	struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	sigaction(SIGUSR1, &a, 0);
	pthread_t p[WORKERS], c[WORKERS];
	for (long i = 0; i < WORKERS; i++) {
		if (pthread_create(&p[i], 0, produce, (void *)i) || pthread_create(&c[i], 0, consume, 0))
			return 1;
	}
	for (int i = 0; i < rounds; i++) {
		pthread_kill(c[i % WORKERS], SIGUSR1);
		if (i % 10 == 0) {
			pthread_t t;
			void *v;
			if (pthread_create(&t, 0, nothing, (void *)(intptr_t)i) || pthread_join(t, &v) || (intptr_t)v != i)
				return 2;
		}
	}
	long made = 0, eaten = 0;
	void *v;
	for (int i = 0; i < WORKERS; i++) {
		pthread_join(p[i], &v);
		made += (long)v;
	}
	pthread_mutex_lock(&lock);
	done = 1;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < WORKERS; i++) {
		pthread_join(c[i], &v);
		eaten += (long)v;
	}
	printf("%ld %ld %ld %ld %ld %d\n", sent, received, sum, made, eaten, handled > 0);
	return 0;
}
