#!/bin/bash
# Runs the public HTTP cache test-suite (http-cache-tests), and what its later versions ask (later.mjs), against bin/wherry and compares
# the failures with expected-failures.txt. With --peer nginx the same suite runs against nginx too, and the table has a line for it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
wherry=${WHERRY:-$here/../../bin/wherry}
peers=()
while [ $# -gt 0 ]; do
	case $1 in
	--peer) peers+=("${2:?--peer NAME}"); shift 2 ;;
	*) echo "usage: run.sh [--peer nginx]" >&2; exit 2 ;;
	esac
done

for tool in node npm; do
	command -v $tool >/dev/null || { echo "conformance: $tool is missing: apt-get install nodejs npm" >&2; exit 1; }
done
[ -x "$wherry" ] || { echo "conformance: $wherry is missing: make build" >&2; exit 1; }

cd "$here"
if ! cmp -s package-lock.json node_modules/.installed; then
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	cp package-lock.json node_modules/.installed
fi

dir=$(mktemp -d)
chmod 711 "$dir" # the workers of nginx are another user when root runs this
pids=()
stop() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
	rm -rf "$dir"
}
trap stop EXIT

# await FILE PATTERN prints the first part in parentheses of PATTERN, as soon as a line of FILE matches it.
await() {
	for _ in $(seq 100); do
		found=$(sed -nE "s#.*$2.*#\1#p" "$1" | head -1)
		[ -z "$found" ] || { echo "$found"; return; }
		sleep 0.1
	done
	echo "conformance: no line with $2 within 10 s in:" >&2
	cat "$1" >&2
	return 1
}

# The suite reads its options where `npm run` would put them. Port 0 picks a free one.
npm_config_port=0 npm_config_protocol=http npm_config_pidfile="$dir/origin.pid" \
	node --no-warnings node_modules/http-cache-tests/server/server.mjs >"$dir/origin.log" 2>&1 &
pids+=($!)
origin=127.0.0.1:$(await "$dir/origin.log" 'Listening on .*:([0-9]+)/')

run() { # NAME URL
	echo "conformance: $1" >&2
	node --no-warnings run.mjs "$2" "$dir/$1.json" >"$dir/$1.log" 2>&1 || { cat "$dir/$1.log" >&2; exit 1; }
	results+=("$1=$dir/$1.json")
}
results=()

"$wherry" dev --edges 1 --origin "http://$origin" --http 127.0.0.1:0 --https off --dns 127.0.0.1:0 --portal 127.0.0.1:0 \
	--access-log off >"$dir/wherry.out" 2>"$dir/wherry.err" &
pids+=($!)
await "$dir/wherry.out" '^(ready)$' >/dev/null || { cat "$dir/wherry.err" >&2; exit 1; }
run wherry "$(await "$dir/wherry.out" '^edge .*(http://[0-9.:]+)/')"

peer_nginx() {
	command -v nginx >/dev/null || { echo "conformance: nginx is not installed; its line is left out" >&2; return; }
	mkdir "$dir/nginx"
	port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })')
	sed "s#@DIR@#$dir/nginx#g; s#@PORT@#$port#; s#@ORIGIN@#$origin#" nginx.conf.in >"$dir/nginx.conf"
	nginx -c "$dir/nginx.conf" -e "$dir/nginx/nginx.log" &
	pids+=($!)
	for _ in $(seq 50); do
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
		sleep 0.1
	done
	run nginx "http://127.0.0.1:$port"
}
for peer in "${peers[@]}"; do
	case $peer in
	nginx) peer_nginx ;;
	*) echo "conformance: no peer $peer; there is nginx" >&2; exit 2 ;;
	esac
done

node --no-warnings report.mjs expected-failures.txt "${results[@]}"
