/* Answers lines. Each answer says how many there were. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int count;

int main(void)
{
	char buf[8192];
	ssize_t n;
	while ((n = read(0, buf, sizeof buf)) > 0) {
		char *p = malloc(300000);
		memset(p, count, 300000);
		char *q = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		for (int i = 0; i < 1 << 20; i += 4096)
			if (q[i]++)
				return 1;
		mprotect(q, 65536, PROT_READ);
		munmap(q + 65536, 65536);
		printf("{\"count\":%d, \"n\":%zd, \"mark\":%d}\n", ++count, n, access("/tmp/mark", F_OK));
		fflush(stdout);
		close(open("/tmp/mark", O_CREAT | O_WRONLY, 0600));
	}
	return 0;
}
