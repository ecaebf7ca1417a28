package linux

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// buildDebian makes a program with a static library of Debian's.
func buildDebian(t *testing.T, name, library string, more ...string) string {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no gcc here; tools/setup.sh installs it")
	}
	at, err := exec.Command("gcc", "-print-file-name=lib"+library+".a").Output()
	if err != nil || !strings.Contains(string(at), "/") { // gcc says the bare name of what it doesn't find
		t.Skipf("no static lib%s here; tools/setup.sh installs it", library)
	}
	return buildC(t, "gcc", name, append([]string{"-w", "-l" + library}, more...)...) // -w: the linker warns of dlopen and getpwuid
}

// luaScript uses what programs in Lua use: tables, closures, coroutines, strings and patterns, integers and floats, errors, and a file.
const luaScript = `
local t = {}
for i = 1, 3000 do t[i] = (i * 7919) % 3001 end
table.sort(t, function(a, b) return a > b end)
print(t[1], t[1500], #t, table.concat(t, ",", 1, 12))
local words = {}
for w in ("the quick brown fox jumps over the lazy dog"):gmatch("%a+") do words[w] = (words[w] or 0) + 1 end
local keys = {}
for k in pairs(words) do keys[#keys + 1] = k end
table.sort(keys)
for _, k in ipairs(keys) do io.write(k, "=", words[k], " ") end
print()
local function primes(n) return coroutine.wrap(function()
  for i = 2, n do
    local prime = true
    for d = 2, math.floor(math.sqrt(i)) do if i % d == 0 then prime = false break end end
    if prime then coroutine.yield(i) end
  end
end) end
local sum = 0
for p in primes(2000) do sum = sum + p end
print(sum, 2^0.5, math.sin(1), 10 // 3, -10 % 3, 1 << 40, math.maxinteger + 1 == math.mininteger, string.format("%.17g %a %q", 0.1, 0.1, "a\nb"))
print(pcall(function() error({code = 7}) end), select("#", table.unpack({1, nil, 3}, 1, 3)))
print(pcall(function() local x = nil; return x.y end))
local f = assert(io.open("/tmp/lua-guest-test", "w"))
f:write(("line %d\n"):rep(3):format(1, 2, 3)); f:close()
for line in io.lines("/tmp/lua-guest-test") do io.write("[", line, "]") end
print(os.remove("/tmp/lua-guest-test"), io.open("/tmp/lua-guest-test"))
print(("x"):rep(5, "-"), ("%d"):format(3.0), tostring(1e15), 7 / 2, utf8.char(8364, 128512), #"€")
collectgarbage()
`

func TestLua(t *testing.T) {
	same(t, buildDebian(t, "lua", "lua5.4", "-lm"), []string{"lua"}, luaScript)
}

// sqlScript makes tables with indexes, writes, reads, joins, rolls back, and checks the file.
const sqlScript = `
PRAGMA page_size;
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT UNIQUE, price REAL, note BLOB);
CREATE TABLE sale(item INTEGER REFERENCES item(id), n INTEGER, day TEXT);
CREATE INDEX by_day ON sale(day, item);
BEGIN;
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i < 500)
  INSERT INTO item SELECT i, printf('item %04d', i*37%501), i*1.25, zeroblob(i%50) FROM c;
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i < 2000)
  INSERT INTO sale SELECT 1+i*13%500, i%7, date('2026-01-01', printf('+%d days', i%90)) FROM c;
COMMIT;
SELECT count(*), sum(n), min(day), max(day) FROM sale;
SELECT substr(day,1,7) AS month, round(sum(n*price),2) AS sum FROM sale JOIN item ON item.id = sale.item GROUP BY month ORDER BY month;
SELECT name, rank() OVER (ORDER BY price DESC) AS place FROM item ORDER BY place LIMIT 3;
BEGIN; DELETE FROM sale; ROLLBACK;
SELECT count(*) FROM sale WHERE day BETWEEN '2026-02-01' AND '2026-02-10';
UPDATE item SET note = NULL WHERE id % 3 = 0;
SELECT count(note), total(length(note)), hex(max(note)) FROM item;
SELECT json_extract('{"a":[1,2,{"b":3.5}]}', '$.a[2].b'), upper('straße'), 1/3.0, 9223372036854775807 + 1, 'a' LIKE 'A';
VACUUM;
PRAGMA integrity_check;
INSERT INTO item(id, name) VALUES (1000, 'item 0001');
`

func TestSQLite(t *testing.T) {
	const database = "/tmp/wherry-sqlite-guest-test.db"
	t.Cleanup(func() { _ = os.Remove(database) }) // the native program's
	_ = os.Remove(database)
	same(t, buildDebian(t, "sqlite", "sqlite3", "-lm"), []string{"sqlite", database}, sqlScript)
}
