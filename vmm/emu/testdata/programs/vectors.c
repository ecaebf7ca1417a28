// What a compiler makes with -march=x86-64-v2 of loops, and intrinsics up to SSE4.2.
#include <nmmintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static float f[1024];
static double d[1024];
static int32_t n[1024];
static int16_t s[1024];
static uint8_t b[1024];

static uint64_t hash(const void *p, size_t size) {
	uint64_t h = ~0ull;
	for (size_t i = 0; i + 8 <= size; i += 8) {
		uint64_t v;
		memcpy(&v, (const char *)p + i, 8);
		h = _mm_crc32_u64(h, v) ^ h << 32;
	}
	return h;
}

int main(void) {
	for (int i = 0; i < 1024; i++) {
		n[i] = i * 2654435761u;
		s[i] = n[i] >> 9;
		b[i] = n[i] >> 13;
		f[i] = n[i] / 1024.f;
		d[i] = n[i] * 0.001;
	}
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 1023; i++) {
			f[i] = f[i] * 0.5f + f[i + 1] * 0.25f - i;
			d[i] = (d[i] + d[i + 1]) / (1 + i % 7);
			n[i] = (n[i] > n[i + 1] ? n[i] : n[i + 1]) * 3 + s[i];
			s[i] = (s[i] + b[i]) >> 1;
			b[i] = b[i] > 200 ? 200 : b[i] + 3;
		}
		for (int i = 0; i < 1024; i++) {
			f[i] = __builtin_floorf(f[i]) + (float)d[i];
			n[i] ^= (int)f[i] + __builtin_popcount(s[i]);
		}
		for (int i = 0; i < 1024; i += 16) {
			__m128i v = _mm_loadu_si128((void *)(b + i)), k = _mm_set1_epi8(round);
			v = _mm_shuffle_epi8(_mm_add_epi8(v, k), _mm_and_si128(v, _mm_set1_epi8(15)));
			v = _mm_blendv_epi8(v, _mm_abs_epi8(v), _mm_maddubs_epi16(v, k));
			_mm_storeu_si128((void *)(b + i), v);
			n[i] += _mm_cmpistri(v, k, _SIDD_CMP_EQUAL_ANY) + _mm_testz_si128(v, k);
		}
	}
	printf("%016lx %016lx %016lx %016lx %016lx\n", hash(f, sizeof f), hash(d, sizeof d), hash(n, sizeof n), hash(s, sizeof s), hash(b, sizeof b));
	return 0;
}
