#!/bin/bash
# Builds h2spec, the public HTTP/2 conformance suite, and runs it against bin/wherry over TLS, strictly. Arguments go to h2spec:
# run.sh http2/6.9
#
# Over TLS, because on the cleartext port what isn't HTTP/2's preface is HTTP/1.1, and one case of the suite wants it to be nothing.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
wherry=${WHERRY:-$here/../../bin/wherry}
[ -x "$wherry" ] || { echo "h2spec: $wherry is missing: make build" >&2; exit 1; }

dir=$(mktemp -d)
pid=
stop() {
	if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi
	rm -rf "$dir"
}
trap stop EXIT

(cd "$dir" && GOBIN=$dir GOFLAGS=-mod=mod go install github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible) 2>"$dir/build" ||
	{ cat "$dir/build" >&2; echo "h2spec: it can't be built: is the Go module proxy reachable?" >&2; exit 1; }

"$wherry" dev --edges 1 --http 127.0.0.1:0 --https 127.0.0.1:0 --portal 127.0.0.1:0 --dns off --access-log off >"$dir/out" 2>&1 &
pid=$!
for _ in $(seq 100); do
	port=$(sed -nE 's#.*https://[^ /]*:([0-9]+)/.*#\1#p' "$dir/out" | head -1)
	[ -n "$port" ] && break
	sleep 0.1
done
[ -n "${port:-}" ] || { cat "$dir/out" >&2; echo "h2spec: wherry doesn't start" >&2; exit 1; }

"$dir/h2spec" --host 127.0.0.1 --port "$port" --tls --insecure --strict --timeout 5 "$@"
