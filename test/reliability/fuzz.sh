#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh TIME: fuzzes for so long each (10m) what others than root can send or write:
# requests to the control socket, the accounting file of another program, and a damaged
# database. As root.
set -euo pipefail
cd "$(dirname "$0")/../.."
go=${GO:-go}
for t in internal/control:FuzzServiceAsNobody internal/control:FuzzServiceAsRoot pkg/ledger:FuzzFollow internal/store:FuzzDatabase; do
	"$go" test -run '^$' -fuzz "^${t#*:}\$" -fuzztime "${1:-10m}" "./${t%:*}"
done
ELSA_SOAK=1 "$go" test -count=1 -v -run '^TestServiceRandomRequests$' ./internal/control
