/* wherry.h has a function answer the requests that Wherry gives a program. It is included in one file of that.
 *
 *     #include "wherry.h"
 *
 *     static void hello(const struct wherry_request *q, struct wherry_response *r, void *context) {
 *         wherry_set(r, "Content-Type", "text/plain");
 *         wherry_printf(r, "hello, %s\n", q->target);
 *     }
 *     int main(void) { return wherry_serve(hello, NULL); }
 *
 *     musl-gcc -O2 -static -I sdk/c -o hello hello.c        (or gcc -O2 -static)
 *
 * Requests and responses are HTTP/1.1 messages, up to WHERRY_MESSAGE_MAX bytes, one at a time. A response leaves and the next request comes by one system call of Wherry's
 * own, wherry_exchange; where it isn't there, by standard output and input, so the same file runs on any Linux: ./hello < request.http.
 */
#ifndef WHERRY_H
#define WHERRY_H

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#ifndef WHERRY_MESSAGE_MAX
#define WHERRY_MESSAGE_MAX (16u << 20)
#endif

enum {
    WHERRY_FIELDS_MAX = 128,       /* of a request */
    WHERRY_HEAD_MAX = 64 << 10,    /* bytes of a request's head */
    WHERRY_FIELDS_SIZE = 16 << 10, /* bytes of a response's fields */
    WHERRY_HEAD_ROOM = WHERRY_FIELDS_SIZE + 256,
    WHERRY_LOG_SIZE = 16 << 10,    /* what is logged beyond goes at once */
    WHERRY_EXCHANGE = 423          /* a number that Linux never has on x86-64: 403 to 423 are of 32-bit processors */
};

struct wherry_field {
    const char *name, *value;
};

/* A request's texts end in a zero and live until the handler returns. */
struct wherry_request {
    const char *method, *target, *body;
    size_t body_size, fields_count, chunked; /* chunked: how the body came */
    struct wherry_field fields[WHERRY_FIELDS_MAX];
};

struct wherry_response {
    int status; /* 200 */
    char fields[WHERRY_FIELDS_SIZE];
    size_t fields_size, body_size;
    int failed; /* something didn't fit: the answer is 500 */
};

/* A buffer that grows. */
struct wherry_buffer {
    char *at;
    size_t size, room;
};

static struct {
    int plain; /* standard input and output */
    struct wherry_buffer in, out; /* out: room for a head, then the body */
    char log[WHERRY_LOG_SIZE];
    size_t log_size;
} wherry;

static inline long wherry_exchange(const void *out, size_t size, void *in, size_t room, const void *log, size_t log_size) {
    register long r10 __asm__("r10") = (long)room, r8 __asm__("r8") = (long)log, r9 __asm__("r9") = (long)log_size;
    long result = WHERRY_EXCHANGE;
    /* rdi, rsi, r8, r9 are changed: what was written is taken off them */
    __asm__ volatile("syscall" : "+a"(result), "+D"(out), "+S"(size), "+r"(r8), "+r"(r9) : "d"(in), "r"(r10) : "rcx", "r11", "memory");
    return result;
}

static inline int wherry_write(int fd, const char *p, size_t n) {
    while (n > 0) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return -1;
        p += k, n -= (size_t)k;
    }
    return 0;
}

/* wherry_swap sends out and the log and reads into in, if there is room: how much came, 0 at the end, -1 where something failed. */
static inline long wherry_swap(const char *out, size_t size, char *in, size_t room) {
    size_t log_size = wherry.log_size;
    long n = 0;
    wherry.log_size = 0;
    if (wherry.plain) {
        (void)wherry_write(2, wherry.log, log_size);
        if (wherry_write(1, out, size)) return -1;
        if (room)
            do n = read(0, in, room);
            while (n < 0 && errno == EINTR);
        return n;
    }
    for (;;) {
        n = wherry_exchange(out, size, in, room, wherry.log, log_size);
        if (n != -EINTR) return n < 0 ? -1 : n;
        size = log_size = 0; /* interrupted while it waited: all was written */
    }
}

static inline int wherry_grow(struct wherry_buffer *b, size_t size) {
    size_t room = b->room ? b->room : 64 << 10;
    char *p;
    if (size <= b->room) return 0;
    if (size > WHERRY_MESSAGE_MAX) return -1;
    while (room < size) room *= 2;
    if (!(p = realloc(b->at, room))) return -1;
    b->at = p, b->room = room;
    return 0;
}

/* wherry_add appends to the body. */
static inline void wherry_add(struct wherry_response *r, const void *p, size_t n) {
    size_t at = WHERRY_HEAD_ROOM + r->body_size;
    if (n > WHERRY_MESSAGE_MAX || wherry_grow(&wherry.out, at + n)) {
        r->failed = 1;
        return;
    }
    memcpy(wherry.out.at + at, p, n);
    r->body_size += n;
}

__attribute__((format(printf, 2, 3))) static inline void wherry_printf(struct wherry_response *r, const char *format, ...) {
    char text[1024], *p = text;
    va_list a, again;
    int n;
    va_start(a, format);
    va_copy(again, a);
    n = vsnprintf(text, sizeof text, format, a);
    if (n >= (int)sizeof text && (p = malloc((size_t)n + 1))) vsnprintf(p, (size_t)n + 1, format, again);
    if (n < 0 || !p) r->failed = 1;
    else wherry_add(r, p, (size_t)n);
    if (p != text) free(p);
    va_end(again);
    va_end(a);
}

/* wherry_set adds a field. Content-Length is set by itself. A field with a line's end in it makes the answer 500. */
static inline void wherry_set(struct wherry_response *r, const char *name, const char *value) {
    size_t room = WHERRY_FIELDS_SIZE - r->fields_size;
    int n = snprintf(r->fields + r->fields_size, room, "%s: %s\r\n", name, value);
    if (n < 0 || (size_t)n >= room || strpbrk(name, ":\r\n ") || strpbrk(value, "\r\n")) r->failed = 1;
    else r->fields_size += (size_t)n;
}

/* wherry_get is the first field of a name, or NULL. */
static inline const char *wherry_get(const struct wherry_request *q, const char *name) {
    for (size_t i = 0; i < q->fields_count; i++)
        if (!strcasecmp(q->fields[i].name, name)) return q->fields[i].value;
    return NULL;
}

/* wherry_log writes a line to the program's log. It goes with the response. */
__attribute__((format(printf, 1, 2))) static inline void wherry_log(const char *format, ...) {
    char line[1024];
    va_list a;
    int n;
    va_start(a, format);
    n = vsnprintf(line, sizeof line - 1, format, a);
    va_end(a);
    if (n < 0) return;
    if (n > (int)sizeof line - 2) n = sizeof line - 2;
    line[n++] = '\n';
    if (wherry.log_size + (size_t)n > WHERRY_LOG_SIZE) (void)wherry_swap("", 0, NULL, 0);
    memcpy(wherry.log + wherry.log_size, line, (size_t)n);
    wherry.log_size += (size_t)n;
}

/* wherry_parse takes a head apart, in place. Its lines end in CR LF, the last one is empty (RFC 9112, 2.1). */
static inline int wherry_parse(char *p, struct wherry_request *q) {
    char *end = strstr(p, "\r\n"), *colon;
    q->fields_count = q->body_size = 0, q->chunked = 0;
    q->method = p;
    if (!(p = memchr(p, ' ', (size_t)(end - p)))) return -1;
    *p++ = 0;
    q->target = p;
    if (!(p = memchr(p, ' ', (size_t)(end - p))) || strncmp(p + 1, "HTTP/1.", 7)) return -1;
    *p = 0;
    for (p = end + 2; strncmp(p, "\r\n", 2); p = end + 2) {
        end = strstr(p, "\r\n");
        colon = memchr(p, ':', (size_t)(end - p));
        if (!colon || q->fields_count == WHERRY_FIELDS_MAX) return -1;
        *colon = *end = 0;
        q->fields[q->fields_count].name = p;
        q->fields[q->fields_count++].value = colon + 1 + strspn(colon + 1, " \t");
        if (!strcasecmp(p, "transfer-encoding") && (q->chunked++ || strcasecmp(q->fields[q->fields_count - 1].value, "chunked"))) return -1;
        if (!strcasecmp(p, "content-length")) {
            const char *v = q->fields[q->fields_count - 1].value;
            size_t digits = strspn(v, "0123456789");
            if (digits == 0 || digits > 9 || v[digits + strspn(v + digits, " \t")]) return -1;
            q->body_size = strtoul(v, NULL, 10);
        }
    }
    return 0;
}

/* wherry_room grows what the request stands in, and its texts move along. */
static inline int wherry_room(struct wherry_request *q, size_t size) {
    struct wherry_buffer old = wherry.in;
    if (size <= old.room) return 0;
    wherry.in.at = NULL, wherry.in.room = 0;
    if (wherry_grow(&wherry.in, size)) return wherry.in = old, -1;
    memcpy(wherry.in.at, old.at, old.size + 1);
    q->method += wherry.in.at - old.at, q->target += wherry.in.at - old.at;
    for (size_t i = 0; i < q->fields_count; i++) q->fields[i].name += wherry.in.at - old.at, q->fields[i].value += wherry.in.at - old.at;
    return free(old.at), 0;
}

/* wherry_chunks takes the framing off chunks (RFC 9112, 7.1), in place, from *from on; 1: it was all, 0: more is to come, -1: bad. */
static inline int wherry_chunks(size_t *from, size_t *to) {
    for (;;) {
        char *p = wherry.in.at + *from, *line = strstr(p, "\r\n"), *end;
        size_t n = strtoul(p, &end, 16), have = wherry.in.size - *from;
        if (!line) return have > 1024 ? -1 : 0;
        if (!strspn(p, "0123456789abcdefABCDEF") || n > WHERRY_MESSAGE_MAX || !strchr("; \t\r", *end)) return -1;
        if (n == 0 && (end = strstr(line, "\r\n\r\n"))) return *from = (size_t)(end + 4 - wherry.in.at), 1; /* trailers are dropped */
        if (n == 0 || have < (size_t)(line + 4 - p) + n) return 0;
        if (memcmp(line + 2 + n, "\r\n", 2)) return -1;
        memmove(wherry.in.at + *to, line + 2, n);
        *to += n, *from += (size_t)(line + 4 - p) + n;
    }
}

/* wherry_more reads, after sending out; 1: something came, 0: the end, -1: failed. */
static inline int wherry_more(const char *out, size_t size, size_t most) {
    long n;
    if (wherry_grow(&wherry.in, most + 1)) return -1;
    n = wherry_swap(out, size, wherry.in.at + wherry.in.size, most - wherry.in.size);
    if (n <= 0) return (int)n;
    wherry.in.size += (size_t)n;
    wherry.in.at[wherry.in.size] = 0;
    return 1;
}

/* wherry_finish puts the head before the body; *size is of both. */
static inline char *wherry_finish(const struct wherry_request *q, struct wherry_response *r, size_t *size) {
    char head[WHERRY_HEAD_ROOM], *at;
    int n, none;
    if (r->failed || r->status < 200 || r->status > 999) r->status = 500, r->fields_size = r->body_size = 0;
    none = r->status == 204 || r->status == 304; /* RFC 9110, 6.4.1 */
    n = snprintf(head, sizeof head, "HTTP/1.1 %d \r\n", r->status); /* the reason may be empty: RFC 9112, 4 */
    memcpy(head + n, r->fields, r->fields_size), n += (int)r->fields_size;
    if (!none) n += snprintf(head + n, sizeof head - (size_t)n, "Content-Length: %zu\r\n", r->body_size);
    memcpy(head + n, "\r\n", 2), n += 2;
    at = wherry.out.at + WHERRY_HEAD_ROOM - n;
    memcpy(at, head, (size_t)n);
    *size = (size_t)n + (none || !strcmp(q->method, "HEAD") ? 0 : r->body_size);
    return at;
}

/* wherry_serve has a handler answer requests until the input ends, and returns a status for main. */
static inline int wherry_serve(void (*handler)(const struct wherry_request *, struct wherry_response *, void *), void *context) {
    static struct wherry_request q;
    static struct wherry_response r;
    static const char bad[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const char *out = "";
    char *end;
    size_t size = 0, head, all, from, to;
    int got;
    wherry.plain = wherry_exchange(NULL, 0, NULL, 0, NULL, 0) < 0;
    if (wherry_grow(&wherry.in, 64 << 10) || wherry_grow(&wherry.out, WHERRY_HEAD_ROOM)) return 1;
    wherry.in.at[0] = 0;
    for (;;) {
        while (!(end = strstr(wherry.in.at, "\r\n\r\n")) && wherry.in.size < WHERRY_HEAD_MAX - 1) {
            if ((got = wherry_more(out, size, WHERRY_HEAD_MAX - 1)) <= 0) return got < 0 || wherry.in.size > 0;
            size = 0;
        }
        head = end ? (size_t)(end + 4 - wherry.in.at) : 0;
        if (!end || wherry_parse(wherry.in.at, &q)) break;
        all = head + q.body_size, to = from = head;
        for (got = 0; q.chunked && !(got = wherry_chunks(&from, &to)) && !(got = wherry_room(&q, wherry.in.size + WHERRY_HEAD_MAX)); size = 0)
            if (wherry_more(out, size, wherry.in.size + WHERRY_HEAD_MAX - 1) <= 0) return 1;
        if (q.chunked) all = from, q.body_size = to - head, wherry.in.at[to] = 0;
        if (got < 0 || wherry_room(&q, all + 1)) break;
        for (; wherry.in.size < all; size = 0)
            if (wherry_more(out, size, all) <= 0) return 1;
        q.body = wherry.in.at + head;
        if (size > 0 && wherry_swap(out, size, NULL, 0) < 0) return 1; /* requests that came together */
        r.status = 200, r.fields_size = r.body_size = 0, r.failed = 0;
        handler(&q, &r, context);
        out = wherry_finish(&q, &r, &size);
        wherry.in.size -= all;
        memmove(wherry.in.at, wherry.in.at + all, wherry.in.size + 1);
    }
    wherry_swap(out, size, NULL, 0);
    wherry_swap(bad, sizeof bad - 1, NULL, 0);
    return 1;
}

#endif
