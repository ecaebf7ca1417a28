/* What programs expect of signals. Says what happened, the same as natively. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static sigjmp_buf back;
static char *page;
static volatile int depth, count, onstack;
static char alt[65536];

static void fault(int s, siginfo_t *i, void *u)
{
	ucontext_t *c = u;
	printf("signal %d code %d addr %s trap %d\n", s, i->si_code, (char *)i->si_addr == page ? "page" : i->si_addr ? "other" : "null",
	       (int)c->uc_mcontext.gregs[REG_TRAPNO]);
	siglongjmp(back, 1);
}

static void fix(int s, siginfo_t *i, void *u)
{
	(void)s, (void)u;
	count++;
	__asm__ volatile("pxor %%xmm7, %%xmm7\n\tfninit" ::: "xmm7");
	mprotect(i->si_addr, 4096, PROT_READ | PROT_WRITE);
}

static void skip(int s, siginfo_t *i, void *u)
{
	ucontext_t *c = u;
	(void)s, (void)i;
	char here;
	onstack = &here >= alt && &here < alt + sizeof alt;
	c->uc_mcontext.gregs[REG_RIP] += 2; /* ud2 */
	c->uc_mcontext.gregs[REG_RAX] = 77;
}

static void nest(int s)
{
	(void)s;
	if (++depth < 4)
		raise(SIGUSR1);
	count++;
}

static void nothing(int s) { count += s > 0; }

static void *tickle(void *arg)
{
	usleep(2000);
	for (int i = 0; i < 3; i++) {
		pthread_kill(*(pthread_t *)arg, SIGUSR2);
		usleep(1000);
	}
	return 0;
}

static void set(int s, void (*f)(int, siginfo_t *, void *), int flags)
{
	struct sigaction a = {.sa_sigaction = f, .sa_flags = SA_SIGINFO | flags};
	sigaction(s, &a, 0);
}

static void plain(int s, void (*f)(int), int flags)
{
	struct sigaction a = {.sa_handler = f, .sa_flags = flags};
	sigaction(s, &a, 0);
}

int main(void)
{
	page = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int s = 1; s < 32; s++)
		if (s != SIGKILL && s != SIGSTOP)
			set(s, fault, 0);
	if (!sigsetjmp(back, 1)) *(volatile char *)page = 1;
	mprotect(page, 4096, PROT_READ);
	if (!sigsetjmp(back, 1)) *(volatile char *)page = 1;
	if (!sigsetjmp(back, 1)) ((void (*)(void))page)();
	munmap(page, 4096);
	if (!sigsetjmp(back, 1)) *(volatile char *)page = 1;
	if (!sigsetjmp(back, 1)) *(volatile char *)8 = 1;
	if (!sigsetjmp(back, 1)) *(volatile char *)0x8000000000000000 = 1;
	volatile int zero = 0;
	if (!sigsetjmp(back, 1)) printf("%d\n", 1 / zero);
	if (!sigsetjmp(back, 1)) __asm__ volatile("ud2");
	if (!sigsetjmp(back, 1)) __asm__ volatile("int3");
	if (!sigsetjmp(back, 1)) __asm__ volatile("hlt");
	if (!sigsetjmp(back, 1)) raise(SIGTERM);

	/* a handler repairs the fault, and registers, flags and vectors survive */
	page = mmap(0, 16 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	set(SIGSEGV, fix, 0);
	count = 0;
	double d = 1;
	for (int i = 0; i < 16; i++) {
		d = d * 1.5 + i;
		page[i * 4096] = (char)i;
	}
	printf("repaired %d %.6f %d\n", count, d, page[15 * 4096]);

	/* also those that a system call doesn't keep */
	char *other = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t a = 0x1234567890abcdef, b = 0xfedcba0987654321, rcx, r11, xmm;
	unsigned char carry;
	__asm__ volatile("movq %5, %%rcx\n\tmovq %6, %%r11\n\tmovq %5, %%xmm7\n\tfldpi\n\tstc\n\tmovb $1, (%4)\n\tsetc %3\n\t"
	                 "movq %%rcx, %0\n\tmovq %%r11, %1\n\tmovq %%xmm7, %2\n\tfstp %%st(0)"
	                 : "=&r"(rcx), "=&r"(r11), "=&r"(xmm), "=&q"(carry) : "r"(other), "r"(a), "r"(b) : "rcx", "r11", "xmm7", "memory", "cc");
	printf("kept %d %d %d %d\n", rcx == a, r11 == b, xmm == a, carry);

	/* on another stack, with registers changed by the handler */
	stack_t st = {.ss_sp = alt, .ss_size = sizeof alt}, old;
	sigaltstack(&st, 0);
	set(SIGILL, skip, SA_ONSTACK);
	long rax = 5;
	__asm__ volatile("ud2" : "+a"(rax));
	sigaltstack(0, &old);
	printf("rax %ld on other stack %d, after %d\n", rax, onstack, old.ss_flags);

	plain(SIGUSR1, nest, SA_NODEFER);
	count = depth = 0;
	raise(SIGUSR1);
	printf("nested %d %d\n", depth, count);
	plain(SIGUSR1, nest, 0);
	depth = count = 0;
	raise(SIGUSR1);
	printf("deferred %d %d\n", depth, count);
	plain(SIGUSR1, nothing, SA_RESETHAND);
	raise(SIGUSR1);
	struct sigaction now;
	sigaction(SIGUSR1, 0, &now);
	printf("reset %d\n", now.sa_handler == SIG_DFL);

	/* blocked signals wait; standard ones once, real-time ones each */
	sigset_t all, was, pend;
	plain(SIGUSR1, nothing, 0);
	plain(SIGRTMIN + 3, nothing, 0);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &was);
	count = 0;
	for (int i = 0; i < 3; i++) raise(SIGUSR1), raise(SIGRTMIN + 3);
	sigpending(&pend);
	printf("pending %d %d, handled %d\n", sigismember(&pend, SIGUSR1), sigismember(&pend, SIGRTMIN + 3), count);
	siginfo_t info;
	sigset_t one;
	sigemptyset(&one);
	sigaddset(&one, SIGUSR1);
	int got = sigtimedwait(&one, &info, &(struct timespec){0, 1000});
	int none = sigtimedwait(&one, &info, &(struct timespec){0, 1000});
	printf("taken %d, then %d %s\n", got, none, strerror(errno));
	sigprocmask(SIG_SETMASK, &was, 0);
	printf("handled %d\n", count);

	/* interrupted calls */
	pthread_t self = pthread_self(), t;
	plain(SIGUSR2, nothing, 0);
	pthread_create(&t, 0, tickle, &self);
	struct timespec rem = {0};
	int r = nanosleep(&(struct timespec){5, 0}, &rem);
	printf("sleep %d %s %d\n", r, strerror(errno), rem.tv_sec == 4);
	r = pause();
	printf("pause %d %s\n", r, strerror(errno));
	pthread_join(t, 0);
	int p[2];
	char c;
	if (pipe(p)) return 1;
	pthread_create(&t, 0, tickle, &self);
	r = read(p[0], &c, 1);
	printf("read %d %s\n", r, strerror(errno));
	pthread_join(t, 0);
	sigprocmask(SIG_BLOCK, &one, 0);
	plain(SIGPIPE, nothing, 0);
	close(p[0]);
	count = 0;
	r = write(p[1], "x", 1);
	printf("write %d %s %d\n", r, strerror(errno), count);
	r = syscall(SYS_futex, &count, 0, count, &(struct timespec){0, 1000000}, 0, 0);
	printf("futex %d %s\n", r, strerror(errno));
	r = syscall(SYS_futex, &count, 0, count + 1, 0, 0, 0);
	printf("futex %d %s\n", r, strerror(errno));
	r = syscall(999);
	printf("unknown %d %s\n", r, strerror(errno));
	fflush(stdout);
	signal(SIGABRT, SIG_DFL);
	return 3;
}
