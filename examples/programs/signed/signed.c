/* signed checks signed URLs: GET /film.mp4?expires=1790000000&sig=HEX is let through while HEX is HMAC-SHA256(secret, "/film.mp4?expires=1790000000").
 *
 *     musl-gcc -O2 -static -o signed signed.c        (or gcc -O2 -static)
 *     wherry program run ./signed < request.http
 *
 * Requests come on standard input, responses go to standard output, until the input ends. The secret is in SIGNED_SECRET ("secret" if unset);
 * the time now is in SIGNED_NOW (seconds), else the clock's.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 64, DIGEST = 32, HEAD_MAX = 16384, BODY_MAX = 1 << 20 };

struct sha256 {
    uint32_t h[8];
    uint64_t size;
    uint8_t block[BLOCK];
};

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74,
    0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d,
    0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e,
    0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5,
    0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t ror(uint32_t x, int n) { return x >> n | x << (32 - n); }

/* FIPS 180-4, 6.2.2 */
static void compress(struct sha256 *s) {
    uint32_t w[64], v[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)s->block[4 * i] << 24 | s->block[4 * i + 1] << 16 | s->block[4 * i + 2] << 8 | s->block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (ror(a, 7) ^ ror(a, 18) ^ a >> 3) + (ror(b, 17) ^ ror(b, 19) ^ b >> 10);
    }
    memcpy(v, s->h, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t a = v[0], e = v[4];
        uint32_t t1 = v[7] + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) + ((e & v[5]) ^ (~e & v[6])) + K[i] + w[i];
        uint32_t t2 = (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[0] = t1 + t2;
        v[4] += t1;
    }
    for (int i = 0; i < 8; i++) s->h[i] += v[i];
}

static void begin(struct sha256 *s) {
    static const uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(s->h, h, sizeof h);
    s->size = 0;
}

static void add(struct sha256 *s, const void *data, size_t n) {
    const uint8_t *p = data;
    for (size_t i = 0; i < n; i++) {
        s->block[s->size++ % BLOCK] = p[i];
        if (s->size % BLOCK == 0) compress(s);
    }
}

static void end(struct sha256 *s, uint8_t out[DIGEST]) {
    uint64_t bits = s->size * 8;
    uint8_t one = 0x80, zero = 0, length[8];
    add(s, &one, 1);
    while (s->size % BLOCK != 56) add(s, &zero, 1);
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)(bits >> (56 - 8 * i));
    add(s, length, 8);
    for (int i = 0; i < DIGEST; i++) out[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

/* RFC 2104 */
static void hmac(const char *key, const char *text, size_t n, uint8_t out[DIGEST]) {
    uint8_t pad[BLOCK] = {0};
    struct sha256 s;
    size_t size = strlen(key);
    if (size > BLOCK) {
        begin(&s), add(&s, key, size), end(&s, pad);
    } else {
        memcpy(pad, key, size);
    }
    for (int i = 0; i < BLOCK; i++) pad[i] ^= 0x36;
    begin(&s), add(&s, pad, BLOCK), add(&s, text, n), end(&s, out);
    for (int i = 0; i < BLOCK; i++) pad[i] ^= 0x36 ^ 0x5c;
    begin(&s), add(&s, pad, BLOCK), add(&s, out, DIGEST), end(&s, out);
}

static long long now(void) {
    const char *fixed = getenv("SIGNED_NOW");
    return fixed ? atoll(fixed) : (long long)time(NULL);
}

/* verdict is the status for a request target: 204, 401 or 410. */
static int verdict(char *target, const char **why) {
    char *sig = strstr(target, "&sig="), *expires = strstr(target, "?expires=");
    const char *secret = getenv("SIGNED_SECRET");
    uint8_t want[DIGEST];
    char hex[2 * DIGEST + 1];
    unsigned differ = 0;
    if (!sig || !expires || expires > sig || strlen(sig + 5) != 2 * DIGEST) return *why = "no signature", 401;
    hmac(secret ? secret : "secret", target, (size_t)(sig - target), want);
    for (int i = 0; i < DIGEST; i++) snprintf(hex + 2 * i, 3, "%02x", want[i]);
    for (int i = 0; i < 2 * DIGEST; i++) differ |= (unsigned)(hex[i] ^ sig[5 + i]); /* takes as long whichever digit is wrong */
    if (differ) return *why = "the signature is wrong", 401;
    if (atoll(expires + 9) < now()) return *why = "the link has expired", 410;
    return *why = "", 204;
}

static int answer(int status, const char *text) {
    char out[512];
    const char *reason = status == 204 ? "No Content" : status == 401 ? "Unauthorized" : status == 410 ? "Gone" : status == 411 ? "Length Required" : "Bad Request";
    int n = status == 204 ? snprintf(out, sizeof out, "HTTP/1.1 204 No Content\r\n\r\n")
                          : snprintf(out, sizeof out, "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s\n", status, reason, strlen(text) + 1, text);
    for (int at = 0; at < n;) {
        ssize_t w = write(1, out + at, (size_t)(n - at));
        if (w <= 0) return -1;
        at += (int)w;
    }
    return 0;
}

int main(void) {
    static char in[HEAD_MAX + 1];
    size_t have = 0;
    for (;;) {
        char target[4096], *head_end, *line;
        const char *why;
        size_t skip = 0, n;
        int status;
        while (in[have] = 0, !(head_end = strstr(in, "\r\n\r\n"))) {
            if (have == HEAD_MAX) return answer(400, "the header is too large"), 1;
            ssize_t r = read(0, in + have, HEAD_MAX - have);
            if (r <= 0) return r < 0 || have > 0;
            have += (size_t)r;
        }
        head_end += 4;
        for (line = strstr(in, "\r\n") + 2; line < head_end - 2; line = strstr(line, "\r\n") + 2)
            if (!strncasecmp(line, "transfer-encoding:", 18)) return answer(411, "say the body's Content-Length");
            else if (!strncasecmp(line, "content-length:", 15)) skip = strtoul(line + 15, NULL, 10);
        if (skip > BODY_MAX || sscanf(in, "%*15[A-Z] %4095s HTTP/1.", target) != 1) return answer(400, "not a request"), 1;
        status = verdict(target, &why);
        if (answer(status, why)) return 1;
        n = have - (size_t)(head_end - in);
        while (n < skip) { /* a body says nothing to us */
            char rest[4096];
            ssize_t r = read(0, rest, skip - n < sizeof rest ? skip - n : sizeof rest);
            if (r <= 0) return 1;
            n += (size_t)r;
            have = 0, head_end = in;
        }
        if (have) {
            have = n - skip;
            memmove(in, head_end + skip, have);
        }
    }
}
