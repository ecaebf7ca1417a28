/* exchange waits for input by wherry_exchange while another thread sends it a signal. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile int signals;
static pthread_t first;

static void count(int s) { (void)s, signals++; }

static void *disturb(void *context) {
    usleep(1000);
    pthread_kill(first, SIGUSR1);
    return context;
}

static long exchange(const void *out, size_t size, void *in, size_t room) {
    register long r10 __asm__("r10") = (long)room, r8 __asm__("r8") = 0, r9 __asm__("r9") = 0;
    long result = 423;
    __asm__ volatile("syscall" : "+a"(result), "+D"(out), "+S"(size), "+r"(r8), "+r"(r9) : "d"(in), "r"(r10) : "rcx", "r11", "memory");
    return result;
}

int main(int argc, char **argv) {
    struct sigaction a = {.sa_handler = count, .sa_flags = argc > 1 && !strcmp(argv[1], "again") ? SA_RESTART : 0};
    char in[16];
    pthread_t other;
    long n;
    first = pthread_self();
    sigaction(SIGUSR1, &a, NULL);
    pthread_create(&other, NULL, disturb, NULL);
    n = exchange("response\n", 9, in, sizeof in);
    if (n == -EINTR) {
        exchange("interrupted\n", 12, in, 0);
        n = exchange("", 0, in, sizeof in);
    }
    printf("signals %d, result %ld\n", signals, n);
    return 0;
}
