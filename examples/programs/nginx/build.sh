#!/bin/sh
# Builds nginx as one static file.
#
#	sh examples/programs/nginx/build.sh OUT [SOURCE.tar.gz]
#
# Without a source it takes that of Debian's package by apt-get source, from where this machine's packages come from. It keeps the source in $XDG_CACHE_HOME/wherry.
# It needs gcc, make, tar and, for gzip, libz.a (zlib1g-dev).
set -eu

out=$1
source=${2:-}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/wherry
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() { # into $cache; of updates for security the source is the same
	mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$work/apt/parts" "$cache"
	for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -f "$list" ] && sed -n '/security/d; s/^deb /deb-src /p' "$list" >>"$work/apt/parts/source.list"
	done
	for list in /etc/apt/sources.list.d/*.sources; do
		[ -f "$list" ] && sed '/^#/d; s/^Types:.*/Types: deb-src/' "$list" | awk 'BEGIN { RS = ""; ORS = "\n\n" } !/Suites:[^\n]*security/' >"$work/apt/parts/$(basename "$list")"
	done
	apt() { apt-get -qq -o APT::Sandbox::User="$(id -un)" -o Dir::State="$work/apt" -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache="$work/apt" -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/apt/parts" "$@"; }
	apt update
	(cd "$work" && apt source --download-only nginx)
	cp "$work"/nginx_*.orig.tar.* "$cache/"
}

if [ -z "$source" ]; then
	found() { ls "$cache"/nginx_*.orig.tar.* 2>/dev/null | tail -n 1; }
	[ -n "$(found)" ] || fetch
	source=$(found)
fi
[ "$out" = - ] && exit 0 # the source alone

mkdir "$work/nginx"
tar -xf "$source" -C "$work/nginx" --strip-components 1
gzip=--without-http_gzip_module
case $(gcc -print-file-name=libz.a) in */*) gzip= ;; esac
# What is left out needs more libraries, or other servers to pass requests to.
(
	cd "$work/nginx"
	# shellcheck disable=SC2086 # nothing, where there is gzip
	./configure --with-cc-opt="${OPTIMIZE:--O2} -static" --with-ld-opt=-static $gzip \
		--prefix=/etc/nginx --conf-path=/etc/nginx/nginx.conf --pid-path=/run/nginx.pid --lock-path=/run/nginx.lock \
		--error-log-path=/dev/stderr --http-log-path=/dev/stderr \
		--http-client-body-temp-path=/tmp/body --http-proxy-temp-path=/tmp/proxy \
		--without-http_rewrite_module --without-http_fastcgi_module --without-http_uwsgi_module --without-http_scgi_module \
		--without-http_memcached_module --without-http_grpc_module --without-http_ssi_module --without-http_userid_module \
		--without-http_mirror_module --without-http_split_clients_module --without-http_browser_module --without-mail_pop3_module \
		--without-mail_imap_module --without-mail_smtp_module >configure.log || { tail configure.log >&2; exit 1; }
	make -s -j"$(getconf _NPROCESSORS_ONLN)" >make.log 2>&1 || { tail make.log >&2; exit 1; }
	strip objs/nginx
)
cp "$work/nginx/objs/nginx" "$out"
