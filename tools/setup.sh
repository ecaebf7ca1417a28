#!/bin/sh
# Installs what the tests run beside Go, where it is missing: curl, dig, a headless Chromium, objdump, and C compilers, a busybox, static libraries and gdb for guests.
# It also fetches the source of nginx, which a test builds for guests.
set -eu

missing=
need() { # COMMAND PACKAGE
	command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need curl curl
need dig bind9-dnsutils
need chromium chromium
need gcc gcc
need musl-gcc musl-tools
need busybox busybox-static
need objdump binutils
need gdb gdb
archive() { # LIBRARY PACKAGE
	case $(gcc -print-file-name="lib$1.a" 2>/dev/null) in */*) ;; *) missing="$missing $2" ;; esac
}
archive lua5.4 liblua5.4-dev
archive sqlite3 libsqlite3-dev
archive z zlib1g-dev
need make make
nginx() {
	sh "$(dirname "$0")/../examples/programs/nginx/build.sh" - || echo "setup: no source of nginx; tests that need it are skipped" >&2
}
[ -n "$missing" ] || { nginx; exit 0; }

run=
if [ "$(id -u)" -ne 0 ]; then
	if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
		run="sudo -n"
	else
		echo "setup: not root; tests that need them are skipped. To run them: apt-get install$missing" >&2
		exit 0
	fi
fi
if ! command -v apt-get >/dev/null 2>&1; then
	echo "setup: no apt-get here; tests that need them are skipped:$missing" >&2
	exit 0
fi
echo "setup: installing$missing"
$run apt-get update -qq
# shellcheck disable=SC2086 # a list of packages
DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq --no-install-recommends $missing >/dev/null
nginx
