#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# random.sh MINUTES: property tests with cases drawn anew, half of the time, and
# every fuzz target for its part of the other half. What fails says how to
# repeat it: -rapid.seed=N, or a file that go test runs from then on.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
seconds=$(($1 * 30))

properties=$(grep -rl --include='*_test.go' '"pgregory.net/rapid"' . | xargs -n 1 dirname | sort -u)
end=$(($(date +%s) + seconds))
while [ "$(date +%s)" -lt $end ]; do
	RAPID_SEED=0 $go test -count=1 -timeout 60m -run '^TestModel' -rapid.checks 2000 $properties
done

targets=$(grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sed -E 's|/[^/]+:func |:|' | sort -u)
for t in $targets; do
	$go test -run '^$' -fuzz "^${t#*:}\$" -fuzztime $((seconds / $(wc -w <<<"$targets") + 1))s "${t%:*}"
done
