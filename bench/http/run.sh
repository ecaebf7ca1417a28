#!/bin/sh
# Builds bin/wherry and measures it beside the HTTP caches that are installed. Arguments go to the program: run.sh -help
set -eu
cd "$(dirname "$0")/../.."
make -s build
exec go run ./bench/http "$@"
