// What a C library does with floating-point numbers: printing and reading them, rounding modes, exceptions, long doubles.
#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 88172645463325252ull;
static uint64_t next(void) {
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}
static double any(void) {
	uint64_t b = next();
	double d;
	memcpy(&d, &b, 8);
	return d;
}

#pragma STDC FENV_ACCESS ON
int main(void) {
	char text[128];
	static const char *const formats[] = {"%.17g", "%a", "%.3e", "%.0f", "%g"};
	for (int i = 0; i < 1500; i++) {
		double d = i % 3 ? any() : (double)(int64_t)next() / 1000;
		if (d != d)
			continue;
		if (fabs(d) > 1e30 && i % 5 == 3)
			d = 1 / d;
		snprintf(text, sizeof text, formats[i % 5], d);
		double back = strtod(text, 0);
		float single = strtof(text, 0);
		printf("%s %a %a %d\n", text, back, single, back == d);
	}
	static const int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
	for (int m = 0; m < 4; m++) {
		fesetround(modes[m]);
		volatile double a = 1, b = 3, c = 1e308, z = 0;
		volatile long double la = 1, lb = 3;
		volatile float fa = 16777217.5f;
		feclearexcept(FE_ALL_EXCEPT);
		printf("%d: %a %La %a %.20f %.3f", fegetround() == modes[m], a / b, la / lb, (double)(float)(a / b), 0.1, 2.5);
		printf(" %g %ld %ld %a", rint(2.5), lrint(-2.5), lrintl(1.5L), sqrt(b));
		printf(" [%x]", fetestexcept(FE_ALL_EXCEPT));
		feclearexcept(FE_ALL_EXCEPT);
		volatile double r = c * c;
		printf(" %g [%x]", r, fetestexcept(FE_OVERFLOW | FE_UNDERFLOW | FE_DIVBYZERO | FE_INVALID));
		feclearexcept(FE_ALL_EXCEPT);
		r = a / z;
		r = z / z;
		r = 1 / c / c;
		printf(" [%x] %a\n", fetestexcept(FE_OVERFLOW | FE_UNDERFLOW | FE_DIVBYZERO | FE_INVALID), strtod("0.1", 0));
		(void)fa;
	}
	fesetround(FE_TONEAREST);
	fenv_t env;
	feholdexcept(&env);
	volatile double z = 0;
	z = 1 / z;
	feupdateenv(&env);
	printf("[%x]\n", fetestexcept(FE_DIVBYZERO));
	for (int i = 1; i < 200; i++) {
		double x = i * 0.37 - 20, y = fabs(x) + 0.25;
		printf("%.15g %.15g %.15g %.15g %.15g %.15g %.15g\n", sin(x), exp(x), log(y), pow(y, 1.5), atan2(x, y), fmod(x * 100, y), cbrt(x));
		long double l = x, m = y;
		printf("%.15Lg %.15Lg %.15Lg %.15Lg %.15Lg %.15Lg\n", sinl(l), expl(l), logl(m), powl(m, l), fmodl(l * 1e30L, m), remainderl(l * 100, m));
		printf("%.15Lg %.15Lg %.15Lg %lld %d\n", atan2l(l, m), log2l(m), exp2l(l), llrintl(l * 1e6L), ilogbl(m));
	}
	return 0;
}
