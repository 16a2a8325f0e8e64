#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The main job in one go, on the running kernel: start elsad on throw-away state,
# run a workload in a group, print its bill and its metrics, stop everything.
set -euo pipefail
bin=$(realpath "${1:-bin}")
[ "$(id -u)" = 0 ] || { echo "demo: needs root: switching accounting on and following forks are the kernel's privileges" >&2; exit 1; }
dir=$(mktemp -d /tmp/elsa-demo.XXXXXX)
elsad=
finish() {
	status=$?
	if [ -n "$elsad" ]; then
		kill -TERM "$elsad" 2>/dev/null || true
		wait "$elsad" 2>/dev/null || true # it switches accounting off again
	fi
	[ $status = 0 ] || { echo "demo: failed; elsad said:" >&2; cat "$dir/log" >&2; }
	rm -rf "$dir"
	exit $status
}
trap finish EXIT
trap 'exit 130' INT TERM

say() { printf '\n$ %s\n' "$*"; }
ctl() { say elsactl "$@"; "$bin/elsactl" --socket "$dir/sock" "$@" 2>&1; }

: >"$dir/log"
"$bin/elsad" --state-dir "$dir/state" --socket "$dir/sock" --web.listen-address 127.0.0.1:0 >"$dir/log" 2>&1 &
elsad=$!
for _ in $(seq 100); do
	grep -q msg=ready "$dir/log" && break
	kill -0 "$elsad" 2>/dev/null || { wait "$elsad" || true; elsad=; exit 1; }
	sleep 0.05
done
grep -q msg=ready "$dir/log" || exit 1
address=$(sed -n 's/.*msg=ready .*address=\([^ ]*\).*/\1/p' "$dir/log")

# A shell loop of short commands, and one process that computes.
load='for i in $(seq 500); do /bin/true; done; i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done'
say "elsactl run -g demo -- sh -c '$load'"
"$bin/elsactl" --socket "$dir/sock" run -g demo -- sh -c "$load" 2>&1
ctl usage demo --wait
say "curl http://$address/metrics | grep demo"
curl -sf "http://$address/metrics" | grep '{group="demo"'
