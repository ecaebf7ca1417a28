// Says that it loops, and does.
#include <unistd.h>

volatile unsigned long rounds;

int main(void)
{
	if (write(1, "looping\n", 8) != 8)
		return 1;
	for (;;)
		rounds++;
}
