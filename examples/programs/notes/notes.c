/* notes is a whole application on SQLite: POST / adds the note in the body, GET / lists them as JSON, GET /?q=WORD those with a word.
 *
 *     gcc -O2 -static -o notes notes.c -lsqlite3 -lm      (Debian: libsqlite3-dev)
 *
 * It listens on port 8080, one connection after another, and keeps its database in /tmp/notes.db (NOTES_DB). With isolation by instance notes stay as long
 * as the instance; by request each request finds the database as it was at the deployment, so that a program can bring data of its own.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD_MAX = 16384, NOTE_MAX = 65536, ANSWER_MAX = 1 << 20, LIST_MAX = 200, PORT = 8080 };

struct request {
    char method[16], target[2048];
    char in[HEAD_MAX + NOTE_MAX + 1];
    char *body;
    size_t size;
};

struct answer {
    char text[ANSWER_MAX];
    size_t size;
    int full;
};

static void add(struct answer *a, char c) {
    if (a->size + 1 < sizeof a->text)
        a->text[a->size++] = c;
    else
        a->full = 1;
}

static void add_text(struct answer *a, const char *s) {
    while (*s) add(a, *s++);
}

/* RFC 8259, 7 */
static void add_string(struct answer *a, const unsigned char *s) {
    char code[8];
    for (add(a, '"'); s && *s; s++) {
        if (*s == '"' || *s == '\\')
            add(a, '\\'), add(a, (char)*s);
        else if (*s < 0x20)
            snprintf(code, sizeof code, "\\u%04x", *s), add_text(a, code);
        else
            add(a, (char)*s);
    }
    add(a, '"');
}

static int list(sqlite3 *db, const char *word, struct answer *a) {
    sqlite3_stmt *q;
    int first = 1, step;
    char id[32];
    if (sqlite3_prepare_v2(db, "SELECT id, text FROM notes WHERE instr(text, ?1) > 0 OR ?1 = '' ORDER BY id DESC LIMIT ?2", -1, &q, NULL) != SQLITE_OK) return 500;
    sqlite3_bind_text(q, 1, word, -1, SQLITE_STATIC);
    sqlite3_bind_int(q, 2, LIST_MAX);
    add_text(a, "[");
    while ((step = sqlite3_step(q)) == SQLITE_ROW) {
        snprintf(id, sizeof id, "%s{\"id\":%lld,\"text\":", first ? "" : ",", (long long)sqlite3_column_int64(q, 0));
        add_text(a, id);
        add_string(a, sqlite3_column_text(q, 1));
        add_text(a, "}");
        first = 0;
    }
    add_text(a, "]\n");
    sqlite3_finalize(q);
    return step == SQLITE_DONE && !a->full ? 200 : 500;
}

static int insert(sqlite3 *db, const char *text, size_t size, struct answer *a) {
    sqlite3_stmt *q;
    char id[48];
    int step;
    if (size == 0 || memchr(text, 0, size)) return 400;
    if (sqlite3_prepare_v2(db, "INSERT INTO notes (text) VALUES (?1)", -1, &q, NULL) != SQLITE_OK) return 500;
    sqlite3_bind_text(q, 1, text, (int)size, SQLITE_STATIC);
    step = sqlite3_step(q);
    sqlite3_finalize(q);
    if (step != SQLITE_DONE) return 500;
    snprintf(id, sizeof id, "{\"id\":%lld}\n", (long long)sqlite3_last_insert_rowid(db));
    add_text(a, id);
    return 201;
}

/* unescape decodes a query's value in place. */
static void unescape(char *s) {
    char *to = s, hex[3] = {0};
    for (; *s && *s != '&'; s++) {
        if (*s == '%' && isxdigit((unsigned char)s[1]) && isxdigit((unsigned char)s[2]))
            hex[0] = s[1], hex[1] = s[2], *to++ = (char)strtol(hex, NULL, 16), s += 2;
        else
            *to++ = *s == '+' ? ' ' : *s;
    }
    *to = 0;
}

static int respond(sqlite3 *db, struct request *r, struct answer *a) {
    char *query = strchr(r->target, '?');
    char *word = "";
    if (query) *query++ = 0;
    if (strcmp(r->target, "/")) return 404;
    if (!strcmp(r->method, "POST")) return insert(db, r->body, r->size, a);
    if (strcmp(r->method, "GET") && strcmp(r->method, "HEAD")) return 405;
    if (query && !strncmp(query, "q=", 2)) unescape(word = query + 2);
    return list(db, word, a);
}

/* receive reads one request; 0 when it is whole. */
static int receive(int c, struct request *r) {
    size_t have = 0, head = 0;
    ssize_t n;
    for (r->size = 0; !head || have < head + r->size;) {
        char *end, *line;
        if (have == sizeof r->in - 1 || (n = read(c, r->in + have, sizeof r->in - 1 - have)) <= 0) return -1;
        r->in[have += (size_t)n] = 0;
        if (head || !(end = strstr(r->in, "\r\n\r\n"))) continue;
        head = (size_t)(end - r->in) + 4;
        for (line = strstr(r->in, "\r\n") + 2; line < end; line = strstr(line, "\r\n") + 2)
            if (!strncasecmp(line, "content-length:", 15)) r->size = strtoul(line + 15, NULL, 10);
        if (r->size > NOTE_MAX || head > HEAD_MAX) return -1;
    }
    r->body = r->in + head;
    return sscanf(r->in, "%15[A-Z] %2047s HTTP/1.", r->method, r->target) == 2 ? 0 : -1;
}

static void send_all(int c, const char *p, size_t n) {
    while (n > 0) {
        ssize_t w = write(c, p, n);
        if (w <= 0) return; /* the client has gone */
        p += w, n -= (size_t)w;
    }
}

static void serve(sqlite3 *db, int c) {
    static struct request r;
    static struct answer a;
    char head[256];
    int status = 400, n;
    a.size = 0, a.full = 0;
    r.method[0] = 0;
    if (receive(c, &r) == 0) status = respond(db, &r, &a);
    if (status >= 400) a.size = 0, add_text(&a, status == 500 ? "{\"error\":\"the database failed\"}\n" : "{\"error\":\"GET / or /?q=WORD, or POST / with a note\"}\n");
    n = snprintf(head, sizeof head, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", status,
                 status < 400 ? "OK" : "Error", a.size);
    send_all(c, head, (size_t)n);
    if (strcmp(r.method, "HEAD")) send_all(c, a.text, a.size);
}

int main(void) {
    const char *file = getenv("NOTES_DB");
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    sqlite3 *db;
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    signal(SIGPIPE, SIG_IGN);
    if (sqlite3_open(file ? file : "/tmp/notes.db", &db) != SQLITE_OK ||
        sqlite3_exec(db, "CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)", NULL, NULL, NULL) != SQLITE_OK) {
        fprintf(stderr, "notes: the database: %s\n", sqlite3_errmsg(db));
        return 1;
    }
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 16)) {
        perror("notes: listening on port 8080");
        return 1;
    }
    for (;;) {
        int c = accept(listener, NULL, NULL);
        if (c < 0) continue;
        serve(db, c);
        close(c);
    }
}
