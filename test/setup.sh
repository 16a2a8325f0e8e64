#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that the tests use and the machine lacks. Without
# root, apt or a network it says what is missing, and test/run.sh says at the end
# which tests were left out for it.
# Arguments name commands that are wanted besides, of packages called the same.
set -euo pipefail
declare -A need=(
	[promtool]=prometheus [gcc]=gcc [curl]=curl [sa]=acct
	[prometheus-process-exporter]=prometheus-process-exporter
	[lintian]=lintian [chromium]=chromium [tmux]=tmux [make]=make
	[node]=nodejs [npm]=npm
)
for cmd; do need[$cmd]=$cmd; done
missing=()
for cmd in "${!need[@]}"; do
	command -v "$cmd" >/dev/null || [ -x "/usr/sbin/$cmd" ] || missing+=("${need[$cmd]}")
done
[ -e /usr/share/fonts/truetype/dejavu ] || missing+=(fonts-dejavu-core) # the browser's pictures have text

# debian installs what is missing.
debian() {
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "setup: not installed, and this is no root on Debian: ${missing[*]}" >&2
		return
	fi
	export DEBIAN_FRONTEND=noninteractive
	# The packages' services must not start: the tests run their own, and acct would
	# switch accounting on.
	local policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod +x $policy
		trap "rm -f $policy" EXIT
	fi
	apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || {
		echo "setup: apt-get cannot install ${missing[*]}: the tests that need them are left out" >&2
	}
}
[ ${#missing[@]} = 0 ] || debian

# DuckDB reads the files of the archive as anybody's engine would. It is kept in the
# user's cache.
duckdb=${XDG_CACHE_HOME:-$HOME/.cache}/elsa/duckdb version=1.5.6-r.1
if ! grep -qs "\"version\": \"$version\"" "$duckdb/node_modules/@duckdb/node-api/package.json"; then
	npm install --silent --no-audit --no-fund --prefix "$duckdb" "@duckdb/node-api@$version" >/dev/null || {
		echo "setup: npm cannot install DuckDB: the test that needs it is left out" >&2
	}
fi
