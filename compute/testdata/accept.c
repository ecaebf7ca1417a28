// A server that accepts, reads a request, answers and closes, one after another.
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void) {
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(7000)};
	char b[4096];
	int l = socket(AF_INET, SOCK_STREAM, 0);
	if (l < 0 || bind(l, (struct sockaddr *)&at, sizeof at) || listen(l, 8)) return 1;
	for (int count = 1;; count++) {
		int c = accept(l, 0, 0);
		size_t have = 0;
		while (have < sizeof b - 1) {
			ssize_t n = read(c, b + have, sizeof b - 1 - have);
			if (n <= 0) break;
			have += n;
			b[have] = 0;
			if (strstr(b, "\r\n\r\n")) break;
		}
		dprintf(c, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n%d\n", count);
		close(c);
	}
}
