#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs every test and says at the end which ones this machine could not run and
# why. Arguments go to go test.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}

# Property tests draw the same cases in every run; test/random.sh draws new ones.
export RAPID_SEED=${RAPID_SEED:-1}

mkdir -p bin
export ELSA_SKIPPED=$PWD/bin/tests-skipped
rm -f "$ELSA_SKIPPED"
finish() {
	status=$?
	if [ -s "$ELSA_SKIPPED" ]; then
		echo "left out on this machine:"
		sort -u "$ELSA_SKIPPED" | sed 's/^/  /'
	fi
	exit $status
}
trap finish EXIT

# Tests that listen to the whole kernel or switch its accounting run one package
# after the other, and nothing else meanwhile.
shared=$(grep -rlE --include='*_test.go' 'kerneltest\.(ProcEvents|BSDAcct|Taskstats|BPF)\b' cmd internal pkg test |
	xargs -n 1 dirname | sort -u | sed 's|^|elsa/|')
# These have no goroutines: the race detector could find nothing. The engine's model and
# its 200,000 groups would take four times as long, and the damaged files of cells end the
# program by its check of pointers in parquet-go.
single="elsa/internal/engine
elsa/internal/cells"
others=$($go list ./... | grep -vxF "$shared" | grep -vxF "$single")
status=0
# Those that need ClickHouse are run by test/fleet.sh.
$go test -race -timeout 30m -skip '^TestEngine' "$@" $others || status=1
$go test -timeout 30m "$@" $single || status=1
$go test -race -timeout 60m -p 1 "$@" $shared || status=1 # also tests of another tree are waited for
exit $status
