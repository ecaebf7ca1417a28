// What a C library picks by CPUID: functions of strings and memory, at all alignments; and sorting, hashing, scanning.
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static uint32_t sum = 2166136261u;
static void add(long v) {
	for (int i = 0; i < 8; i++, v >>= 8)
		sum = (sum ^ (v & 255)) * 16777619u;
}
static int byInt(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

int main(void) {
	static char a[4096], b[4096], c[8192];
	static wchar_t w[600];
	for (int i = 0; i < 4096; i++)
		a[i] = b[i] = 'a' + i * 7 % 26;
	for (int at = 0; at < 40; at++)
		for (int n = 0; n < 300; n += 1 + n / 8) {
			char kept = a[at + n];
			a[at + n] = 0;
			add(strlen(a + at));
			add(strnlen(a + at, n / 2));
			add(strchr(a + at, 'q') - a);
			add(strrchr(a + at, 'e') - a);
			add((char *)memchr(a + at, 'z', n) - a);
			add((char *)memrchr(a + at, 'z', n) - a);
			add(strspn(a + at, "abcdefghijk"));
			add(strcspn(a + at, "xyz"));
			add(strpbrk(a + at, "wv") - a);
			add(strstr(a + at, "ovcj") - a);
			add(strcmp(a + at, b + at) < 0);
			add(strncmp(a + at, b + at, n) < 0);
			add(strcasecmp(a + at, b + at) < 0);
			strcpy(c + (n & 15), a + at);
			add(strlen(c + (n & 15)));
			strncpy(c + 1, a + at, n + 9);
			strcat(c, "end");
			add(memcmp(a + at, b + at + 26, n));
			a[at + n] = kept;
			memcpy(c + at, a + n, n);
			memmove(c + at + 3, c + at, n);
			memset(c + n, at, n);
			for (int i = 0; i < n; i++)
				add(c[i]);
			add((char *)memmem(a, 4096, a + at + 26, 20) - a);
		}
	for (int i = 0; i < 599; i++)
		w[i] = 'a' + i % 100;
	for (int at = 0; at < 16; at++) {
		add(wcslen(w + at));
		add(wcschr(w + at, 'z') - w);
		add(wmemchr(w + at, 'k', 200) - w);
	}
	static int numbers[5000];
	for (int i = 0; i < 5000; i++)
		numbers[i] = (int)((uint32_t)i * 2654435761u >> 3);
	qsort(numbers, 5000, sizeof *numbers, byInt);
	for (int i = 0; i < 5000; i++)
		add(numbers[i]);
	char *copy = strdup("12 -7 0x1f 077 3.5e2 end");
	int x, y;
	unsigned h, o;
	double d;
	char word[8];
	printf("%d ", sscanf(copy, "%d %d %x %o %lf %7s", &x, &y, &h, &o, &d, word));
	printf("%d %d %u %u %g %s %08x\n", x, y, h, o, d, word, sum);
	free(copy);
	copy = malloc(3000000);
	memset(copy, 7, 3000000);
	memcpy(copy + 1, copy + 1500000, 1400000);
	add(copy[1234567]);
	printf("%08x\n", sum);
	return 0;
}
