#!/bin/sh
# Runs every fuzz target of the module for the time given, one after the other. One that fails keeps none from its turn: those that
# failed are named at the end.
set -eu
time=${1:-10s}
packages=$(go list ./...)
failed=
for package in $packages; do
	if ! tests=$(go test -list '^Fuzz' "$package"); then
		printf '%s\n' "$tests"
		failed="$failed $package"
		continue
	fi
	for target in $(printf '%s\n' "$tests" | grep '^Fuzz' || true); do
		echo "== $package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 5x "$package" || failed="$failed $package.$target"
	done
done
if [ -n "$failed" ]; then
	echo "failed:$failed" >&2
	exit 1
fi
