/* Writes of more than there is room for return when all is written, or a signal ends them. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static char big[1 << 20];

static void *drain(void *fd) {
    static char b[5000];
    long all = 0, n;
    while ((n = read(*(int *)fd, b, sizeof b)) > 0) all += n;
    return (void *)all;
}

static void nothing(int s) { (void)s; }

static pthread_t writer;

static void *interrupt(void *none) {
    usleep(20000);
    pthread_kill(writer, SIGUSR1);
    return none;
}

int main(void) {
    struct iovec v[2] = {{big, 100000}, {big, 150000}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
    for (int i = 0; i < 4; i++) {
        int p[2];
        pthread_t t;
        void *got;
        long n;
        if (i < 2 ? pipe(p) : socketpair(AF_UNIX, SOCK_STREAM, 0, p)) return 1;
        pthread_create(&t, NULL, drain, p);
        n = i == 0 ? write(p[1], big, sizeof big) : i == 1 ? writev(p[1], v, 2) : i == 2 ? send(p[1], big, sizeof big, 0) : sendmsg(p[1], &m, 0);
        close(p[1]);
        pthread_join(t, &got);
        printf("%d: wrote %ld, read %ld\n", i, n, (long)got);
        close(p[0]);
    }
    for (int restart = 0; restart < 2; restart++) { /* nobody reads */
        struct sigaction a = {.sa_handler = nothing, .sa_flags = restart ? SA_RESTART : 0};
        pthread_t t;
        int p[2];
        if (pipe(p)) return 1;
        sigaction(SIGUSR1, &a, NULL);
        writer = pthread_self();
        pthread_create(&t, NULL, interrupt, NULL);
        printf("ended by a signal: %ld\n", (long)write(p[1], big, sizeof big));
        pthread_join(t, NULL);
        fcntl(p[1], F_SETFL, O_NONBLOCK);
        printf("full: %ld\n", (long)write(p[1], big, sizeof big));
    }
    return 0;
}
