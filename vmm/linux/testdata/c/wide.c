// The upper halves of YMM registers: in signals' frames, over handlers that use them, and between threads that take turns.
#include <cpuid.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

typedef struct { uint64_t of[16][4]; } Registers;

#define EACH(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11) f(12) f(13) f(14) f(15)
#define LOAD(i) "vmovdqu 32*" #i "(%1), %%ymm" #i "\n"
#define STORE(i) "vmovdqu %%ymm" #i ", 32*" #i "(%2)\n"
#define XMM(i) , "xmm" #i
#define CLOBBERED "memory", "rcx", "r11" EACH(XMM)

static void fill(Registers *r, uint64_t seed) {
  for (int i = 0; i < 16; i++)
    for (int k = 0; k < 4; k++) r->of[i][k] = seed * 0x9e3779b97f4a7c15u + i * 4 + k;
}

// What a system call and whatever comes with it leaves of the registers.
static long keep(const Registers *in, Registers *out, long call, long a, long b) {
  long result;
  __asm__ volatile(EACH(LOAD) "syscall\n" EACH(STORE) "vzeroupper"
                   : "=a"(result)
                   : "r"(in), "r"(out), "a"(call), "D"(a), "S"(b)
                   : CLOBBERED);
  return result;
}

static void compare(const char *what, const Registers *got, const Registers *want) {
  for (int i = 0; i < 16; i++)
    for (int k = 0; k < 4; k++)
      if (got->of[i][k] != want->of[i][k]) printf("%s: word %d of ymm%d differs\n", what, k, i);
}

static void handler(int number, siginfo_t *info, void *context) {
  unsigned char *area = (unsigned char *)((ucontext_t *)context)->uc_mcontext.fpregs;
  uint32_t magic, size, extended, end;
  uint64_t features, present;
  memcpy(&magic, area + 464, 4);
  memcpy(&extended, area + 468, 4);
  memcpy(&features, area + 472, 8);
  memcpy(&size, area + 480, 4);
  memcpy(&end, area + size, 4);
  memcpy(&present, area + 512, 8);
  printf("signal %d: magic %x and %x, %d bytes behind the state, upper halves %d %d\n", number, magic, end, extended - size,
         (int)(features >> 2 & 1), (int)(present >> 2 & 1));
  uint64_t *upper = (uint64_t *)(area + 576);
  printf("upper half 3 is %llx %llx\n", (unsigned long long)upper[6], (unsigned long long)upper[7]);
  upper[6] = 1;
  upper[7] = 2;
  Registers other, after;
  fill(&other, 99);
  keep(&other, &after, 24, 0, 0); // sched_yield
  compare("in the handler", &after, &other);
}

static void *turns(void *seed) {
  Registers mine, after;
  fill(&mine, (uint64_t)seed);
  for (int i = 0; i < 200; i++) {
    keep(&mine, &after, 24, 0, 0);
    compare("in a thread", &after, &mine);
  }
  return 0;
}

int main(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2)) return puts("no AVX2"), 0;
  struct sigaction act = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
  sigaction(SIGUSR1, &act, 0);
  Registers before, after;
  fill(&before, 1);
  keep(&before, &after, 200, (long)keep(&before, &after, 186, 0, 0), SIGUSR1); // tkill(gettid(), SIGUSR1)
  before.of[3][2] = 1;
  before.of[3][3] = 2;
  compare("behind the handler", &after, &before);
  pthread_t threads[3];
  for (long i = 0; i < 3; i++) pthread_create(&threads[i], 0, turns, (void *)(i + 5));
  for (int i = 0; i < 3; i++) pthread_join(threads[i], 0);
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  printf("XCR0 has AVX: %d\n", (low & 6) == 6);
  return 0;
}
