// What BenchmarkAgainstNative runs on both sides: one function a kind of work. run is first.
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

static u64 integer(u64 n), sieve(u64 n), floats(u64 n), sha256(u64 n), copy(u64 n), calls(u64 n), scan(u64 n), sort(u64 n), table(u64 n);

__attribute__((section(".entry"))) u64 run(u64 which, u64 n) {
	switch (which) {
	case 0: return integer(n);
	case 1: return sieve(n);
	case 2: return floats(n);
	case 3: return sha256(n);
	case 4: return copy(n);
	case 5: return calls(n);
	case 6: return scan(n);
	case 7: return sort(n);
	default: return table(n);
	}
}

static u8 memory[1 << 18];
static u8 other[1 << 16];

static u64 integer(u64 n) {
	u64 x = 88172645463325252, sum = 0;
	for (u64 i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		if (x & 1)
			sum += x % 1000;
		else
			sum ^= x * 3;
	}
	return sum;
}

static u64 sieve(u64 n) {
	u64 primes = 0;
	for (u64 round = 0; round < n; round++) {
		for (u32 i = 0; i < sizeof memory; i++)
			memory[i] = 1;
		for (u64 i = 2; i < sizeof memory; i++) {
			if (!memory[i])
				continue;
			primes++;
			for (u64 k = i * i; k < sizeof memory; k += i)
				memory[k] = 0;
		}
	}
	return primes;
}

static u64 floats(u64 n) {
	u64 inside = 0;
	for (u64 row = 0; row < n; row++)
		for (u64 col = 0; col < 64; col++) {
			double a = 0, b = 0, x = col / 32.0 - 1.5, y = (double)(row % 64) / 32.0 - 1;
			int k = 0;
			while (k < 50 && a * a + b * b < 4) {
				double t = a * a - b * b + x;
				b = 2 * a * b + y;
				a = t;
				k++;
			}
			inside += k;
		}
	return inside;
}

static const u32 constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static u32 turn(u32 x, int n) { return x >> n | x << (32 - n); }

static u64 sha256(u64 n) {
	u32 h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
	for (u64 i = 0; i < n; i++) {
		u32 w[64], s[8];
		for (int t = 0; t < 16; t++)
			w[t] = (u32)i * 64 + t;
		for (int t = 16; t < 64; t++)
			w[t] = w[t - 16] + w[t - 7] + (turn(w[t - 15], 7) ^ turn(w[t - 15], 18) ^ w[t - 15] >> 3) +
			       (turn(w[t - 2], 17) ^ turn(w[t - 2], 19) ^ w[t - 2] >> 10);
		for (int t = 0; t < 8; t++)
			s[t] = h[t];
		for (int t = 0; t < 64; t++) {
			u32 a = s[7] + (turn(s[4], 6) ^ turn(s[4], 11) ^ turn(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + constants[t] + w[t];
			u32 b = (turn(s[0], 2) ^ turn(s[0], 13) ^ turn(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
			s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + a, s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = a + b;
		}
		for (int t = 0; t < 8; t++)
			h[t] += s[t];
	}
	return (u64)h[0] << 32 | h[7];
}

static u64 copy(u64 n) {
	u64 sum = 0;
	for (u64 i = 0; i < n; i++) {
		u64 *from = (u64 *)memory, *to = (u64 *)other;
		for (u64 k = 0; k < sizeof other / 8; k++)
			to[k] = from[k] + i;
		from[i % 1000] = to[7];
		sum += to[i % 1000];
	}
	return sum;
}

__attribute__((noinline)) static u64 fibonacci(u64 n) {
	if (n < 2)
		return n;
	u64 a = fibonacci(n - 1);
	__asm__ volatile("" : "+r"(a)); // no unrolling of the recursion into loops
	return a + fibonacci(n - 2);
}

static u64 calls(u64 n) { return fibonacci(n); }

// scan splits JSON-like text.
static u64 scan(u64 n) {
	static const char text[] = "{\"name\": \"value\", \"list\": [1, 22, 333, -4.5e6, true, false, null], \"nested\": {\"a\\\"b\": \"c\\u0041\"}} ";
	u64 sum = 0;
	for (u64 i = 0; i < n; i++) {
		u64 depth = 0, strings = 0, digits = 0, inside = 0;
		for (const char *p = text; *p; p++) {
			if (inside) {
				if (*p == '\\')
					p++;
				else if (*p == '"')
					inside = 0;
				continue;
			}
			switch (*p) {
			case '{': case '[': depth++; break;
			case '}': case ']': depth--; break;
			case '"': inside = 1, strings++; break;
			case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9': digits = digits * 10 + *p - '0'; break;
			case ',': sum += digits, digits = 0; break;
			}
		}
		sum += depth + strings;
	}
	return sum;
}

static int below(u32 a, u32 b) { return a < b; }

static void sortRange(u32 *p, long from, long to, int (*volatile *less)(u32, u32)) {
	while (from < to) {
		u32 pivot = p[(from + to) / 2];
		long i = from, j = to;
		while (i <= j) {
			while ((*less)(p[i], pivot))
				i++;
			while ((*less)(pivot, p[j]))
				j--;
			if (i <= j) {
				u32 t = p[i];
				p[i++] = p[j], p[j--] = t;
			}
		}
		sortRange(p, from, j, less);
		from = i;
	}
}

// sort compares through a pointer.
static u64 sort(u64 n) {
	int (*volatile less)(u32, u32) = below;
	u32 *p = (u32 *)memory, x = 1;
	for (u64 i = 0; i < n; i++)
		p[i] = x = x * 1664525 + 1013904223;
	sortRange(p, 0, n - 1, &less);
	return p[n / 2];
}

// table is a hash table in memory: loads that wait for each other.
static u64 table(u64 n) {
	u64 *slots = (u64 *)memory, size = sizeof memory / 16, hits = 0, x = 1;
	for (u64 i = 0; i < sizeof memory / 8; i++)
		slots[i] = 0;
	for (u64 i = 0; i < n; i++) {
		x = x * 6364136223846793005 + 1442695040888963407;
		u64 key = (x >> 40) % (size / 2) + 1, at = key * 0x9e3779b97f4a7c15 >> 40;
		for (;; at++) {
			u64 *s = slots + (at % size) * 2;
			if (s[0] == key) {
				hits += ++s[1];
				break;
			}
			if (!s[0]) {
				s[0] = key, s[1] = 1;
				break;
			}
		}
	}
	return hits;
}
