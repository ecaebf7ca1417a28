/* What programs expect of mmap and its like. Says what happened, the same as natively. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void say(const char *what, void *p) { printf("%s: %s\n", what, p == MAP_FAILED ? strerror(errno) : "ok"); }
static void result(const char *what, int r) { printf("%s: %s\n", what, r ? strerror(errno) : "ok"); }

int main(void)
{
	const size_t P = 4096;
	const int A = MAP_PRIVATE | MAP_ANONYMOUS, RW = PROT_READ | PROT_WRITE;
	char *p = mmap(0, 64 * P, RW, A, -1, 0);
	memset(p, 'a', 64 * P);
	result("dontneed", madvise(p + 8 * P, 8 * P, MADV_DONTNEED));
	printf("%d %d %d %d\n", p[8 * P - 1], p[8 * P], p[16 * P - 1], p[16 * P]);
	result("unmap inside", munmap(p + 20 * P, 4 * P));
	result("dontneed with a hole", madvise(p, 64 * P, MADV_DONTNEED));
	result("protect with a hole", mprotect(p, 64 * P, PROT_READ));
	char *q = mmap(p + 20 * P, 4 * P, RW, A | MAP_FIXED_NOREPLACE, -1, 0);
	say("noreplace in the hole", q);
	say("noreplace over it", mmap(p + 20 * P, 4 * P, RW, A | MAP_FIXED_NOREPLACE, -1, 0));
	printf("zeros %d\n", q[0] | q[4 * P - 1]);
	memset(q, 'b', 4 * P);
	say("fixed over all", mmap(p, 64 * P, RW, A | MAP_FIXED, -1, 0));
	for (size_t i = 0; i < 64 * P; i++)
		if (p[i]) {
			printf("not zero at %zu\n", i);
			return 1;
		}
	memset(p, 'c', 64 * P);
	char *r = mremap(p, 64 * P, 128 * P, MREMAP_MAYMOVE);
	say("grow", r);
	printf("%d %d %d\n", r[0], r[64 * P - 1], r[64 * P]);
	say("shrink", mremap(r, 128 * P, 2 * P, 0));
	printf("%d\n", r[P]);
	char *f = mmap(0, 8 * P, PROT_NONE, A, -1, 0);
	say("move to a place", mremap(r, 2 * P, 2 * P, MREMAP_MAYMOVE | MREMAP_FIXED, f));
	printf("%d\n", f[P]);
	say("no length", mmap(0, 0, RW, A, -1, 0));
	say("wraps", mmap(0, -P, RW, A, -1, 0));
	say("not aligned", mmap((void *)0x10001, P, RW, A | MAP_FIXED, -1, 0));
	say("above all", mmap((void *)0xffffffff80000000, P, RW, A | MAP_FIXED, -1, 0));
	say("no kind", mmap(0, P, RW, MAP_ANONYMOUS, -1, 0));
	say("bad descriptor", mmap(0, P, RW, MAP_PRIVATE, 99, 0));
	result("unmap unaligned", munmap((void *)1, P));
	result("protect nothing mapped", mprotect((void *)0x10000, P, RW));
	result("bad advice", madvise(f, P, 12345));
	char *b = sbrk(0);
	say("sbrk", sbrk(100000));
	memset(b, 'd', 100000);
	sbrk(-100000);
	sbrk(100000);
	printf("heap %d\n", b[50000]);
	sbrk(-100000);
	int m = memfd_create("x", 0);
	if (write(m, "hello", 5) != 5)
		return 1;
	char *h = mmap(0, P, RW, MAP_PRIVATE, m, 0);
	say("file", h);
	printf("%.5s %d\n", h, h[5]);
	h[0] = 'H';
	printf("%.5s\n", h);
	madvise(h, P, MADV_DONTNEED);
	printf("%.5s\n", h);
	unsigned char in[4];
	char *z = mmap(0, 4 * P, RW, A, -1, 0);
	result("mincore", mincore(z, 4 * P, in));
	errno = 0;
	printf("huge %d\n", mmap(0, (size_t)1 << 50, RW, A, -1, 0) == MAP_FAILED);
	return 0;
}
