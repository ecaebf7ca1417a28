// A loop that changes a global and a local variable.
#include <stdio.h>

struct point { int x, y; };

int total;

static int add(int a, int b)
{
	return a + b;
}

int main(void)
{
	struct point p = {3, 4};
	for (int i = 0; i < 5; i++) {
		total = add(total, i);
		p.x += total;
	}
	printf("total %d x %d\n", total, p.x);
	return 7;
}
