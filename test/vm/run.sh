#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh VERSION VARIANT...: boot each variant of the kernel (see kernel.sh)
# under QEMU with the project's own static binaries and run the tests inside.
# A boot has passed when its init has written "success" to the second serial
# port in time. Its console is kept under ${XDG_CACHE_HOME:-~/.cache}/elsa/vm/log.
# ELSA_VM_QUICK=1 leaves out the boots that only measure.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
version=$1
shift
logs=${XDG_CACHE_HOME:-$HOME/.cache}/elsa/vm/log
limit=${ELSA_VM_TIMEOUT:-900}
say() { echo "vm: $*"; }

need() { # command, package
	command -v "$1" >/dev/null || missing+=("$2")
}
missing=()
need gcc gcc
need ld binutils
need make make
need flex flex
need bison bison
need bc bc
need perl perl
need patch patch
need xz xz-utils
need cpio cpio
need qemu-system-x86_64 qemu-system-x86
[ -e /usr/include/libelf.h ] || missing+=(libelf-dev)
[ -e /usr/include/string.h ] || missing+=(libc6-dev)
if [ ${#missing[@]} -gt 0 ]; then
	if [ "$(id -u)" != 0 ]; then
		say "missing: apt-get install ${missing[*]}" >&2
		exit 1
	fi
	say "installing ${missing[*]}"
	DEBIAN_FRONTEND=noninteractive
	export DEBIAN_FRONTEND
	install=(apt-get -qq install -y --no-install-recommends "${missing[@]}")
	"${install[@]}" >/dev/null 2>&1 || { apt-get -qq update && "${install[@]}" >/dev/null; }
fi

work=$(mktemp -d)
qemu=
clean_up() {
	[ -z "$qemu" ] || kill "$qemu" 2>/dev/null || true
	rm -rf "$work"
}
trap clean_up EXIT
mkdir -p "$logs" "$work/root/bin"

say "building the test binaries"
cd "$root"
export CGO_ENABLED=0
go vet -tags vm ./test/vm/suite
go build -trimpath -o "$work/root/init" ./test/vm/init
go build -trimpath -ldflags '-s -w' -o "$work/root/bin/" ./cmd/elsad ./cmd/elsactl
go test -c -trimpath -tags vm -o "$work/root/bin/suite.test" ./test/vm/suite
go test -c -trimpath -o "$work/root/bin/cnfork.test" ./pkg/cnfork
go test -c -trimpath -o "$work/root/bin/e2e.test" ./test/e2e
gcc -O2 -Wall -Wextra -Werror -ffreestanding -nostdlib -static -fno-pie -no-pie -fno-stack-protector \
	-Wl,-z,noexecstack,--build-id=none -o "$work/root/bin/storm" test/vm/storm/storm.c
gcc -O2 -Wall -Wextra -Werror -o "$work/tsc-khz" test/vm/storm/tsc-khz.c

# The end-to-end tests run shell loops: this machine's shell and a few commands
# go along, with the libraries they load.
for c in dash env false mv seq setsid sleep true; do
	path=$(type -P "$c")
	cp -L "$path" "$work/root/bin/"
	ldd "$path" | grep -o '/[^ ]*' | while read -r lib; do
		mkdir -p "$work/root$(dirname "$lib")"
		cp -L "$lib" "$work/root$lib"
	done
done
ln -s dash "$work/root/bin/sh"

# plan prints what a variant's init shall do. Where a patch is missing, each of
# its tests must fail: a test that cannot fail proves nothing.
plan() {
	local t fork=pass slice=pass
	case $1 in
	stock) fork=fail slice=fail ;;
	slice) fork=fail ;;
	*)
		# In this order: the others kill listeners of the process connector,
		# and the dead count until the machine is started again.
		echo "suite pass 600s /bin/suite.test -test.v"
		echo "cnfork pass 300s /bin/cnfork.test -test.v -test.run ^TestKernel -test.skip ^TestKernelCapture"
		for t in proc fork; do
			echo "e2e-$t pass 300s /bin/env ELSA_E2E_BIN=/bin ELSA_E2E_SOURCE=$t" \
				"/bin/e2e.test -test.v -test.run ^TestKernel(EveryShort|DaemonStays|TotalsContinue|RefusesSecond)"
		done
		return
		;;
	esac
	for t in $("$work/root/bin/suite.test" -test.list .); do
		case $t in
		TestFork*) echo "$t $fork 300s" ;;
		TestExitRecordHas*) echo "$t $slice 300s" ;;
		*) echo "$t pass 300s" ;;
		esac
	done | while read -r t rest; do echo "$t $rest /bin/suite.test -test.v -test.run ^$t\$"; done
}

# boot runs the plan in $work/root/plan; console and verdict are left behind.
boot() { # name, directory of the kernel, frequency of the time stamp counter, arguments for qemu
	local kernel=$2 khz=$3 what=require # nothing may be skipped for want of a feature
	case $1 in patched | debug) what=patched ;; esac
	local log=$logs/$version-$1.console
	console=$work/console verdict=$work/verdict
	shift 3
	rm -f "$console" "$verdict"
	(cd "$work/root" && find . | cpio -o -H newc --quiet -R 0:0) >"$work/initrd"
	timeout --kill-after=10 "$limit" nice qemu-system-x86_64 -nodefaults -no-reboot -display none \
		-machine q35 -cpu max -m 1G "$@" -kernel "$kernel/bzImage" -initrd "$work/initrd" \
		-append "console=ttyS0 panic=-1 tsc=reliable tsc_early_khz=$khz loglevel=4 ELSA_KERNEL=$what" \
		-serial "file:$console" -serial "file:$verdict" </dev/null >"$work/qemu.log" 2>&1 &
	qemu=$!
	wait "$qemu" || true
	qemu=
	cp "$console" "$log" 2>/dev/null || true
	tr -d '\r' <"$verdict" 2>/dev/null | grep -qx success
}

test_in() { # variant, directory of the kernel
	local start=$SECONDS
	plan "$1" >"$work/root/plan"
	if ! boot "$1" "$2" "$("$work/tsc-khz")" -accel tcg,thread=multi -smp 2; then
		cat "$work/qemu.log"
		tr -d '\r' <"$console" 2>/dev/null | tail -80
		say "linux $version $1: FAILED, no success after $((SECONDS - start)) s; console in $logs/$version-$1.console"
		return 1
	fi
	say "linux $version $1: success ($(grep -c '^--- PASS' "$console") tests passed, $(grep -c '^--- FAIL' "$console") failed as they must, $((SECONDS - start)) s)"
	tr -d '\r' <"$console" | sed -n "s/^figure: /$1 | /p" >>"$work/figures"
}

# The emulator can count instructions and let that be the time, one to the
# nanosecond. What a fork costs is then not blurred by what else this machine
# does: nobody need repeat it.
count_in() { # variant, directory of the kernel
	echo 'count pass 120s /bin/suite.test -test.v -test.run ^(TestLatency|TestExitRecordShare)$' >"$work/root/plan"
	boot "$1-count" "$2" 1000000 -accel tcg -icount shift=0,sleep=off -smp 1 || { say "linux $version $1: FAILED to count instructions"; return 1; }
	tr -d '\r' <"$console" | sed -n "s/^figure: /$1 | 1000 instructions for a us: /p" >>"$work/figures"
}

side_by_side() {
	echo "== linux $version"
	awk -F ' [|] ' '
		!($2 in seen) { seen[$2] = 1; name[++n] = $2 }
		{ value[$2, $1] = $3; variants[$1] = 1 }
		END {
			for (i = 1; i <= n; i++) {
				print name[i]
				for (j = 1; j <= split("stock slice patched debug", order, " "); j++)
					if ((name[i], order[j]) in value) printf "    %-8s %s\n", order[j], value[name[i], order[j]]
				if (name[i] !~ /nobody listens/ || !split(value[name[i], "stock"], s, "[ -]") || !split(value[name[i], "patched"], p, "[ -]"))
					continue
				printf "    patched / stock: %.4f of the medians, %.4f of the 5th percentiles\n", p[1] / s[1], p[3] / s[3]
			}
		}' "$work/figures"
}

"$here/kernel.sh" "$version" "$@" >"$work/kernels"
mapfile -t kernels <"$work/kernels"
failed=0
: >"$work/figures"
for variant; do
	test_in "$variant" "${kernels[0]}" || failed=1
	case $variant in
	stock | patched) [ -n "${ELSA_VM_QUICK:-}" ] || count_in "$variant" "${kernels[0]}" || failed=1 ;;
	esac
	kernels=("${kernels[@]:1}")
done
side_by_side
exit $failed
