// Says that it loops, and does.
#include <unistd.h>

volatile unsigned long rounds = 1; /* an interrupt may come before the loop */

int main(void)
{
	if (write(1, "looping\n", 8) != 8)
		return 1;
	for (;;)
		rounds++;
}
