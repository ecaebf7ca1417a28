/* hello greets by Wherry's SDK: GET /?name=Ada.
 *
 *     musl-gcc -O2 -static -I sdk/c -o hello examples/programs/hello/c/hello.c        (or gcc -O2 -static)
 */
#include "wherry.h"

static void hello(const struct wherry_request *q, struct wherry_response *r, void *context) {
    const char *name = strstr(q->target, "?name=");
    (void)context;
    wherry_set(r, "Content-Type", "text/plain");
    if (!strcmp(q->method, "POST")) {
        wherry_log("a body of %zu bytes", q->body_size);
        wherry_printf(r, "%zu bytes\n", q->body_size);
    } else {
        wherry_printf(r, "hello, %s\n", name ? name + 6 : "");
    }
}

int main(void) { return wherry_serve(hello, NULL); }
