#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# load.sh TIMES: runs every test so many times, none taken from the cache, while
# the machine is busy: two loops for each CPU, and a build again and again.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
load=()
cache=$(mktemp -d)
finish() {
	status=$?
	kill "${load[@]}" 2>/dev/null || true
	wait 2>/dev/null || true
	rm -rf "$cache"
	exit $status
}
trap finish EXIT
for _ in $(seq $((2 * $(nproc)))); do
	while :; do :; done &
	load+=($!)
done
while :; do
	GOCACHE=$cache $go build -o /dev/null ./cmd/elsactl
	GOCACHE=$cache $go clean -cache
done &
load+=($!)
for n in $(seq "$1"); do
	began=$SECONDS
	test/run.sh -count=1
	echo "load: run $n of $1 passed in $((SECONDS - began)) s"
done
