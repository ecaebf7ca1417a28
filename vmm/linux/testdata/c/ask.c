/* ask asks by wherry_ask while another thread sends it signals. */
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
    for (int i = 0; i < 5; i++) {
        usleep(1000);
        pthread_kill(first, SIGUSR1);
    }
    return context;
}

static long ask(const void *out, size_t size, void *in, size_t room) {
    register long r10 __asm__("r10") = (long)room, r8 __asm__("r8") = 0, r9 __asm__("r9") = 0;
    long result;
    do {
        result = 422;
        __asm__ volatile("syscall" : "+a"(result), "+D"(out), "+S"(size), "+r"(r8), "+r"(r9) : "d"(in), "r"(r10) : "rcx", "r11", "memory");
    } while (result == -EINTR);
    return result;
}

int main(int argc, char **argv) {
    struct sigaction a = {.sa_handler = count, .sa_flags = argc > 1 && !strcmp(argv[1], "again") ? SA_RESTART : 0};
    static char out[500000], in[100];
    pthread_t other;
    long n;
    memset(out, '?', sizeof out);
    first = pthread_self();
    sigaction(SIGUSR1, &a, NULL);
    pthread_create(&other, NULL, disturb, NULL);
    n = ask(out, sizeof out, in, sizeof in);
    pthread_join(other, NULL);
    printf("signals %d, result %ld %.8s\n", signals, n, in);
    return 0;
}
