/* cpu KIND ROUNDS does one kind of work that needs nothing but the processor, and prints a sum of it.
 *
 *     gcc -O2 -static -o cpu cpu.c
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t xorshift(uint64_t x) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    return x;
}

static uint64_t integer(long rounds) {
    uint64_t x = 88172645463325252u, sum = 0;
    for (long i = 0; i < rounds * 1000000; i++) {
        x = xorshift(x);
        sum += x % 1000003 + (x >> 60 ? 3 : 5);
    }
    return sum;
}

/* gravity of four bodies on a plane: doubles, with a square root */
static uint64_t floating(long rounds) {
    double x[4] = {0, 4.8, 8.3, 12.9}, y[4] = {0, -1.2, 4.1, -15.1}, u[4] = {0, .6, -1.0, 1.1}, v[4] = {0, 2.8, 1.8, .9}, m[4] = {39.5, .04, .01, .002};
    double energy = 0;
    for (long i = 0; i < rounds * 20000; i++) {
        for (int a = 0; a < 4; a++)
            for (int b = 0; b < 4; b++) {
                if (a == b) continue;
                double dx = x[b] - x[a], dy = y[b] - y[a], d2 = dx * dx + dy * dy + .01, d = 1;
                for (int k = 0; k < 6; k++) d = .5 * (d + d2 / d);
                u[a] += .001 * m[b] * dx / (d2 * d), v[a] += .001 * m[b] * dy / (d2 * d);
            }
        for (int a = 0; a < 4; a++) x[a] += .001 * u[a], y[a] += .001 * v[a];
        energy += m[1] * (u[1] * u[1] + v[1] * v[1]);
    }
    return (uint64_t)(int64_t)(energy * 1e3);
}

/* a walk through 16 MiB, a copy of them, and a sieve */
static uint64_t memory(long rounds) {
    enum { SIZE = 16 << 20 };
    unsigned char *a = malloc(SIZE), *b = malloc(SIZE);
    uint64_t sum = 0, x = 1;
    if (!a || !b) return 0;
    memset(a, 1, SIZE);
    for (long i = 0; i < rounds; i++) {
        for (long k = 0; k < 1000000; k++) {
            x = xorshift(x + 1);
            a[x % SIZE] += (unsigned char)k, sum += a[(x >> 20) % SIZE];
        }
        memcpy(b, a, SIZE);
        for (long p = 2; p < 2000; p++)
            for (long q = p * p; q < 1 << 20; q += p) b[q] = (unsigned char)p;
        sum += b[12345];
    }
    return sum;
}

/* FNV-1a over a text, and a table of its words */
static uint64_t hashing(long rounds) {
    static uint64_t keys[1 << 16], counts[1 << 16];
    char word[32];
    uint64_t sum = 0;
    for (long i = 0; i < rounds * 100000; i++) {
        int n = snprintf(word, sizeof word, "word-%ld", i * 7919 % 50021);
        uint64_t h = 14695981039346656037u;
        for (int k = 0; k < n; k++) h = (h ^ (unsigned char)word[k]) * 1099511628211u;
        uint64_t at = h & 0xffff;
        while (keys[at] && keys[at] != h) at = (at + 1) & 0xffff;
        keys[at] = h, sum += ++counts[at] ^ h;
    }
    return sum;
}

int main(int argc, char **argv) {
    long rounds = argc == 3 ? atol(argv[2]) : 0;
    uint64_t sum;
    if (rounds < 1) return fputs("usage: cpu integer|float|memory|hash ROUNDS\n", stderr), 2;
    if (!strcmp(argv[1], "integer")) sum = integer(rounds);
    else if (!strcmp(argv[1], "float")) sum = floating(rounds);
    else if (!strcmp(argv[1], "memory")) sum = memory(rounds);
    else if (!strcmp(argv[1], "hash")) sum = hashing(rounds);
    else return fputs("usage: cpu integer|float|memory|hash ROUNDS\n", stderr), 2;
    printf("%llx\n", (unsigned long long)sum);
    return 0;
}
