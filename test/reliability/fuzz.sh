#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh TIME: fuzzes for so long each (10m) what others than root can send or write:
# requests to the control socket, the accounting file of another program, and a damaged
# database. As root.
set -euo pipefail
cd "$(dirname "$0")/../.."
go=${GO:-go}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# fuzz PACKAGE TARGET TIME. go test fails with "context deadline exceeded" and nothing else
# where the time is over in the middle of an input (https://go.dev/issue/75804).
fuzz() {
	"$go" test -run '^$' -fuzz "$2" -fuzztime "$3" "$1" 2>&1 | tee "$log" && return
	grep -q '^    context deadline exceeded$' "$log" && ! grep -qE 'Failing input|^    --- FAIL' "$log"
}
for t in internal/control:FuzzServiceAsNobody internal/control:FuzzServiceAsRoot pkg/ledger:FuzzFollow internal/store:FuzzDatabase; do
	fuzz "./${t%:*}" "^${t#*:}\$" "${1:-10m}"
done
ELSA_SOAK=1 "$go" test -count=1 -v -run '^TestServiceRandomRequests$' ./internal/control
