#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs ClickHouse, as npm chdb embeds it, in the user's cache, and runs the tests
# that need it. Without arguments it does so unless this very state of what they test
# has passed before on this machine; with arguments, which go to go test, it always does.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/elsa
version=3.4.0 # of chdb: ClickHouse 26.7.2
packages="./internal/clickhouse ./internal/ship ./internal/fleet ./cmd/elsa-archive"
hash=$({
	$go list -deps -test -f '{{if not .Standard}}{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{range .TestGoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{range .EmbedFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{end}}' $packages |
		grep "^$PWD/" | grep -v // | LC_ALL=C sort -u | xargs sha256sum
	cat go.sum test/fleet.sh
	$go version
} | sed "s|$PWD/||" | sha256sum | cut -c1-32)
if [ $# = 0 ] && [ -e "$cache/fleet/$hash" ]; then
	echo "fleet: ClickHouse: unchanged since it passed on $(date -r "$cache/fleet/$hash" +%F)"
	exit 0
fi
if ! grep -qs "\"version\": \"$version\"" "$cache/chdb/node_modules/chdb/package.json"; then
	npm install --silent --no-audit --no-fund --prefix "$cache/chdb" "chdb@$version" >/dev/null || {
		echo "fleet: npm cannot install ClickHouse: the tests that need it are left out" >&2
		[ -z "${ELSA_KERNEL:-}" ] # a failure where all is to be tested
		exit
	}
fi
$go test -count=1 -timeout 60m -run '^TestEngine' "$@" $packages
if [ $# = 0 ]; then
	mkdir -p "$cache/fleet"
	touch "$cache/fleet/$hash"
fi
