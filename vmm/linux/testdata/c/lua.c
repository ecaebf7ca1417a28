// lua runs the script on standard input by Debian's static library.
#include <lua5.4/lauxlib.h>
#include <lua5.4/lualib.h>
#include <stdio.h>

int main(void) {
	static char script[1 << 16];
	size_t n = fread(script, 1, sizeof script, stdin);
	lua_State *l = luaL_newstate();
	luaL_openlibs(l);
	if (luaL_loadbuffer(l, script, n, "=stdin") || lua_pcall(l, 0, 0, 0)) {
		fprintf(stderr, "%s\n", lua_tostring(l, -1));
		return 1;
	}
	lua_close(l);
	return 0;
}
