// Three threads count under a lock; then a signal, two lines of input, and a write to nowhere.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

volatile int counter;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *worker(void *arg)
{
	for (int i = 0; i < 500; i++) {
		pthread_mutex_lock(&lock);
		counter++;
		pthread_mutex_unlock(&lock);
	}
	return arg;
}

static void handler(int signal)
{
	counter += 1000000;
}

int main(void)
{
	pthread_t threads[3];
	char line[100];
	signal(SIGUSR1, handler);
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, worker, NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	raise(SIGUSR1);
	printf("counter %d\n", counter);
	while (fgets(line, sizeof line, stdin))
		printf("got %s", line);
	fflush(stdout);
	*(volatile int *)0 = counter;
	return 0;
}
