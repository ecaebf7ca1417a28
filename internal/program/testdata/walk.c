// walk fills as many MiB as its argument says, changes each page on a second walk, and prints a sum of what a third one finds.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { page = 4096, words = page / 8 };

int main(int argc, char **argv) {
	size_t pages = (size_t)atoi(argv[1]) << 8;
	uint64_t *m = mmap(0, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	uint64_t sum = 0, x = 1;
	for (size_t i = 0; i < pages; i++) {
		x = x * 6364136223846793005u + 1;
		m[i * words] = x;
		m[i * words + i % words] += i;
	}
	for (size_t i = pages; i-- > 0;)
		m[i * words + words - 1] ^= m[i * words];
	for (size_t i = 0; i < pages; i++)
		sum = sum * 31 + m[i * words] + m[i * words + i % words] + m[i * words + words - 1];
	printf("%zu pages, %016llx\n", pages, (unsigned long long)sum);
	return 0;
}
