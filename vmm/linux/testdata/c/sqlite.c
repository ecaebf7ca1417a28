// sqlite runs the SQL on standard input by Debian's static library, in a database in a file.
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

static int row(void *unused, int n, char **values, char **names) {
	(void)unused;
	for (int i = 0; i < n; i++)
		printf("%s=%s%s", names[i], values[i] ? values[i] : "NULL", i + 1 < n ? "|" : "\n");
	return 0;
}

int main(int argc, char **argv) {
	static char sql[1 << 16];
	sql[fread(sql, 1, sizeof sql - 1, stdin)] = 0;
	sqlite3 *db;
	char *message = 0;
	if (argc < 2 || sqlite3_open(argv[1], &db) || sqlite3_exec(db, sql, row, 0, &message)) {
		fprintf(stderr, "%s\n", message ? message : "the database doesn't open");
		return 1;
	}
	return sqlite3_close(db);
}
