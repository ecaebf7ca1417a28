/* asker asks for its target's text and adds what came; POST asks with its body; /plain asks by a socket of its own. */
#include <arpa/inet.h>
#include <netdb.h>

#include "wherry.h"
#include "wherry_ask.h"

static void plain(struct wherry_response *r) {
    static const char question[] = "GET /who HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n";
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *to;
    char text[4096];
    ssize_t n;
    int fd, failed = getaddrinfo("edge", "80", &hints, &to);
    if (failed) {
        wherry_printf(r, "%s", gai_strerror(failed));
        return;
    }
    fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, to->ai_addr, to->ai_addrlen) || write(fd, question, sizeof question - 1) < 0) wherry_printf(r, "%s", strerror(errno));
    while ((n = read(fd, text, sizeof text)) > 0) wherry_add(r, text, (size_t)n);
    close(fd);
}

static void answer(const struct wherry_request *q, struct wherry_response *r, void *context) {
    struct wherry_answer a;
    (void)context;
    if (!strcmp(q->target, "/plain")) {
        plain(r);
        return;
    }
    for (int i = 0; i < 2; i++) {
        char url[256];
        snprintf(url, sizeof url, "http://edge%s", q->target);
        if (wherry_ask(q->method, url, "X-From: c\r\n", q->body, q->body_size, &a)) wherry_printf(r, "%s\n", a.error);
        else if (a.body_size > 100) wherry_printf(r, "%d %zu bytes\n", a.status, a.body_size);
        else wherry_printf(r, "%d %.*s\n", a.status, (int)a.body_size, a.body);
        wherry_forget(&a);
    }
}

int main(void) { return wherry_serve(answer, NULL); }
