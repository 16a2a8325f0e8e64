#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# table.sh [short|soak]: runs the reliability tests in that form and writes what
# they counted to test/RELIABILITY.md. A test that fails leaves the file as it is.
set -euo pipefail
cd "$(dirname "$0")/../.."
form=${1:-short}
case $form in
short) command='test/reliability/table.sh short' ;;
soak) command='make soak'; export ELSA_SOAK=1 ;;
*) echo "usage: $0 [short|soak]" >&2; exit 2 ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
began=$(date +%s)
ELSA_RELIABILITY=$work/rows ELSA_KERNEL=require \
	"${GO:-go}" test -count=1 -timeout 60m -p 1 -v ./test/reliability ./internal/store 2>&1 | tee "$work/log" | grep -Ev '^(=== |PASS$)'
minutes=$((($(date +%s) - began + 59) / 60))
cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
{
	cat <<EOF
# Reliability

Each line is a fault, brought about while processes run, fork and end in groups. *Deaths* is what an independent count
says: what the load made by its own count, or the lines in all accounting segments the kernel ever wrote, kept aside by
hard links. *Lost* are deaths that are on no bill, *doubled* those on one too many; for a group, what cannot be proved to
be its own may be *unattributed*, and counts as lost only if it is not that either. *Tried* is how often the fault struck.

Made by \`$command\` in $minutes minutes, on Linux $(uname -r), ${cpu:-$(uname -m)}, $(nproc) CPUs, $(date -u +%F). One line again:
\`go test -v -run 'NAME' ./test/reliability ./internal/store\`, with \`ELSA_SOAK=1\` in its long form; as root. \`make soak\` writes this page in
the long form. A figure that is not zero has its reason beside it.

| fault | tried | deaths | lost | doubled | | test |
|---|--:|--:|--:|--:|---|---|
EOF
	cat "$work/rows"
	echo
	cat test/reliability/attacks.md
	skipped=$(sed -n 's/^ *--- SKIP: \([^ ]*\).*/`\1`/p' "$work/log" | paste -sd, | sed 's/,/, /g')
	[ -z "$skipped" ] || printf '\nLeft out in this form or on this machine: %s.\n' "$skipped"
} >"$work/page"
cp "$work/page" test/RELIABILITY.md
echo "wrote test/RELIABILITY.md"
