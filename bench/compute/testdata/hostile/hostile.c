// Program hostile does what a program shouldn't, by the path that it is asked for: /loop, /memory, /exits, /output, /crash. Everything else it greets.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char in[65536];

int main(void) {
	for (;;) {
		size_t n = 0;
		in[0] = 0;
		while (!strstr(in, "\r\n\r\n")) {
			ssize_t got = read(0, in + n, sizeof in - 1 - n);
			if (got <= 0) return 0;
			n += (size_t)got;
			in[n] = 0;
		}
		const char *path = strchr(in, ' ');
		path = path ? path + 1 : "/";
		if (!strncmp(path, "/loop", 5)) for (volatile long i = 0;; i++);
		if (!strncmp(path, "/memory", 7)) for (;;) memset(malloc(1 << 20), 1, 1 << 20);
		if (!strncmp(path, "/exits", 6)) for (;;) getppid();
		if (!strncmp(path, "/output", 7)) for (;;) write(1, in, sizeof in);
		if (!strncmp(path, "/crash", 6)) *(volatile int *)0 = 0;
		const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nahoy\n";
		write(1, answer, sizeof answer - 1);
	}
}
