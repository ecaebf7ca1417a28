/* wherry_ask.h has a program ask the edge for things while it answers a request. It stands beside wherry.h, or alone.
 *
 *     struct wherry_answer a;
 *     if (wherry_ask("GET", "http://edge/prices", "Accept: text/plain\r\n", NULL, 0, &a)) puts(a.error);
 *     else fwrite(a.body, 1, a.body_size, stdout);
 *     wherry_forget(&a);
 *
 * A request leaves and its whole response comes by one system call of Wherry's own, wherry_ask. Other kernels don't have it: then a.error says so. A program that is to ask there, too, connects to
 * the proxy that http_proxy names, as libraries do. Include it in one file of the program.
 */
#ifndef WHERRY_ASK_H
#define WHERRY_ASK_H

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    WHERRY_ANSWER_MAX = 16 << 20, /* bytes of a response, head included */
    WHERRY_ASK = 422              /* a number that Linux never has on x86-64: 403 to 423 are of 32-bit processors */
};

struct wherry_answer {
    int status;         /* 200 and so on */
    const char *fields; /* the head's lines, each NAME: VALUE and an end of CR LF, then a zero */
    const char *body;
    size_t body_size;
    const char *error; /* what went wrong, where wherry_ask isn't 0 */
    char *memory;      /* that all this is in */
};

/* wherry_ask_call makes the call. What of it is done stands in the registers, so that a signal doesn't have anything sent twice. */
static inline long wherry_ask_call(const void *out, size_t size, void *in, size_t room) {
    register long r10 __asm__("r10") = (long)room, r8 __asm__("r8") = 0, r9 __asm__("r9") = 0;
    long result;
    do {
        result = WHERRY_ASK;
        __asm__ volatile("syscall" : "+a"(result), "+D"(out), "+S"(size), "+r"(r8), "+r"(r9) : "d"(in), "r"(r10) : "rcx", "r11", "memory");
    } while (result == -EINTR);
    return result;
}

static inline void wherry_forget(struct wherry_answer *a) {
    free(a->memory);
    a->memory = NULL;
}

static inline int wherry_ask_failed(struct wherry_answer *a, int error, const char *text) {
    wherry_forget(a);
    a->error = text ? text : strerror(error);
    return -error;
}

/* wherry_answer_field is the value of the first field of a name, up to CR, or NULL; *size is its length. */
static inline const char *wherry_answer_field(const struct wherry_answer *a, const char *name, size_t *size) {
    size_t n = strlen(name);
    for (const char *p = a->fields, *end; (end = strstr(p, "\r\n")); p = end + 2)
        if (!strncasecmp(p, name, n) && p[n] == ':') {
            for (p += n + 1; *p == ' ' || *p == '\t'; p++) {}
            *size = (size_t)(end - p);
            return p;
        }
    return NULL;
}

/* wherry_unchunk takes the framing off a body (RFC 9112, 7.1), in place: its length, or -1. */
static inline long wherry_unchunk(char *body, size_t size) {
    char *to = body, *p = body, *end = body + size, *stop;
    for (;;) {
        unsigned long n;
        if (!memchr(p, '\n', (size_t)(end - p)) || !strchr("0123456789abcdefABCDEF", *p) || !*p) return -1;
        n = strtoul(p, &stop, 16);
        p = (char *)memchr(p, '\n', (size_t)(end - p)) + 1;
        if (n == 0) return to - body;
        if (n > (size_t)(end - p) || (size_t)(end - p) - n < 2) return -1;
        memmove(to, p, n);
        to += n, p += n;
        if (*p++ != '\r' || *p++ != '\n') return -1;
    }
}

/* wherry_ask_parse takes the response of n bytes apart that a->memory has, with a zero behind it. */
static inline int wherry_ask_parse(struct wherry_answer *a, size_t n, int bodyless) {
    char *p = a->memory, *line, *end;
    const char *v;
    size_t size;
    long length;
    for (;; p = end + 4) { /* interim responses come before: RFC 9110, 15.2 */
        line = strstr(p, "\r\n"), end = strstr(p, "\r\n\r\n");
        if (!end || strncmp(p, "HTTP/1.1 1", 10)) break;
    }
    if (!end || strncmp(p, "HTTP/1.", 7) || line - p < 12 || (a->status = atoi(p + 9)) < 200 || a->status > 999)
        return wherry_ask_failed(a, EPROTO, "the edge's answer can't be read");
    end[2] = 0; /* fields end; the body stands behind */
    a->fields = line + 2;
    a->body = end + 4;
    a->body_size = n - (size_t)(end + 4 - a->memory);
    if (bodyless || a->status == 204 || a->status == 304) a->body_size = 0; /* RFC 9112, 6.3 */
    else if (wherry_answer_field(a, "Transfer-Encoding", &size)) {
        if ((length = wherry_unchunk(end + 4, a->body_size)) < 0) return wherry_ask_failed(a, EPROTO, "the edge's answer broke off");
        a->body_size = (size_t)length;
    } else if ((v = wherry_answer_field(a, "Content-Length", &size))) {
        if (strtoul(v, NULL, 10) > a->body_size) return wherry_ask_failed(a, EPROTO, "the edge's answer broke off");
        a->body_size = strtoul(v, NULL, 10);
    }
    return 0;
}

/* wherry_ask asks for an absolute URL, with fields (lines that each end in CR LF, or NULL) and a body. 0, or a negative errno and a->error. */
static inline int wherry_ask(const char *method, const char *url, const char *fields, const void *body, size_t size, struct wherry_answer *a) {
    const char *host = strstr(url, "://");
    size_t head, host_size;
    char *out;
    long n;
    memset(a, 0, sizeof *a);
    host = host ? host + 3 : url;
    host_size = strcspn(host, "/?#");
    if (!fields) fields = "";
    if (host == url || !host_size || !*method || strpbrk(method, " \r\n\t") || strpbrk(url, " \r\n\t") || strstr(fields, "\r\n\r\n") || !strncmp(fields, "\r\n", 2))
        return wherry_ask_failed(a, EINVAL, "not an absolute URL, or a method or fields that end the head");
    head = strlen(method) + strlen(url) + host_size + strlen(fields) + 128;
    if (!(out = malloc(head + size)) || !(a->memory = malloc(WHERRY_ANSWER_MAX + 1))) {
        free(out);
        return wherry_ask_failed(a, ENOMEM, NULL);
    }
    head = (size_t)snprintf(out, head, "%s %s HTTP/1.1\r\nHost: %.*s\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n", method, url, (int)host_size, host, size, fields);
    if (size) memcpy(out + head, body, size);
    n = wherry_ask_call(out, head + size, a->memory, WHERRY_ANSWER_MAX);
    free(out);
    if (n == -ENOSYS) return wherry_ask_failed(a, ENOSYS, "this kernel has no system call wherry_ask: the program asks on Wherry alone");
    if (n == -ECONNREFUSED) return wherry_ask_failed(a, ECONNREFUSED, "nobody answers: the program isn't answering a request on an edge, or may not ask");
    if (n < 0) return wherry_ask_failed(a, (int)-n, NULL);
    a->memory[n] = 0;
    return wherry_ask_parse(a, (size_t)n, !strcmp(method, "HEAD"));
}

#endif
