#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# kernel.sh VERSION VARIANT...: build Debian's linux-source-VERSION, small, and
# print the directory of each variant's bzImage, System.map and config.
#
#   stock    no patch                patched  the whole series
#   slice    0002 alone              debug    the series, with lockdep and more
#
# A kernel is built once for each (source, patches, config, compiler, recipe)
# and kept under ${XDG_CACHE_HOME:-~/.cache}/elsa/vm.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=$1
shift
patches=$(cd "$here/../../patches/linux-$version" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/elsa/vm
mkdir -p "$cache/source" "$cache/kernel"
say() { echo "vm: $*" >&2; }
die() { say "$*"; exit 1; }

# Base: Debian linux-source-6.1 6.1.192-2, linux-source-6.1.tar.xz
want=$(sed -n "s/^Base: Debian linux-source-$version \([^,]*\),.*/\1/p" "$patches"/0001-*.patch)
want_sum=$(sed -n 's/^Base-sha256: //p' "$patches"/0001-*.patch)

# fetch prints the path of the source archive. It takes the version that the
# patches are made for where Debian still has it, else the newest; from the
# machine's package sources if they have one, else from Debian's own, by lists
# kept in the cache: the machine's configuration stays as it is.
fetch() {
	local tar
	tar=$(ls -t "$cache/source/$version/$want"/*.tar.xz 2>/dev/null | head -1) ||
		tar=$(ls -t "$cache/source/$version"/*/*.tar.xz 2>/dev/null | head -1) || true
	if [ -n "$tar" ]; then
		echo "$tar"
		return
	fi
	local dir own deb got
	dir=$(mktemp -d "$cache/source/fetch.XXXXXX")
	own=$cache/apt
	download() { (cd "$dir" && apt-get -qq "$@" download "linux-source-$version=$want" 2>/dev/null ||
		apt-get -qq "$@" download "linux-source-$version" 2>/dev/null) 2>/dev/null; }
	if ! download; then
		say "no linux-source-$version in this machine's package lists; asking Debian"
		mkdir -p "$own/lists/partial" "$own/archives/partial"
		cat >"$own/sources.list" <<-END
			deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian-security bookworm-security main
			deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main
			deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-backports main
			deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main
		END
		local apt=(-o "Dir::Etc::SourceList=$own/sources.list" -o Dir::Etc::SourceParts=/dev/null
			-o "Dir::State::Lists=$own/lists" -o "Dir::Cache=$own" -o APT::Sandbox::User=root
			-o Acquire::Languages=none)
		apt-get -qq "${apt[@]}" update >&2 || die "apt-get update: see above"
		download "${apt[@]}" || die "Debian has no linux-source-$version"
		rm -rf "$own"
	fi
	deb=$(ls "$dir"/*.deb)
	got=$(dpkg-deb -f "$deb" Version)
	dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$dir" --strip-components=3 "./usr/src/linux-source-$version.tar.xz"
	rm "$deb"
	mkdir -p "$cache/source/$version"
	rm -rf "$cache/source/$version/$got"
	mv "$dir" "$cache/source/$version/$got"
	echo "$cache/source/$version/$got/linux-source-$version.tar.xz"
}

series() { # variant: the patches it has, in order
	case $1 in
	stock) ;;
	slice) grep '^0002-' "$patches/series" ;;
	patched | debug) cat "$patches/series" ;;
	*) die "no variant $1" ;;
	esac
}

fragments() { # variant: its config fragments
	echo "$here/kernel.config"
	case $1 in
	patched) echo "$here/patched.config" ;;
	debug) printf '%s\n' "$here/patched.config" "$here/debug.config" ;;
	esac
}

key() { # archive's sum, variant
	{
		echo "$1"
		# A patch's heading may change, what it does may not.
		for p in $(series "$2"); do sed '1,/^diff /d' "$patches/$p"; done
		cat $(fragments "$2")
		declare -f apply configure build
		gcc --version | head -1
		ld --version | head -1
	} | sha256sum | cut -c1-32
}

# apply brings the tree from the patches in $tree/.applied to those of a
# variant. No fuzz: a hunk whose context has changed is not applied by guess.
apply() {
	local p
	for p in $(tac "$tree/.applied"); do
		patch -s -d "$tree" -p1 -R -F0 --no-backup-if-mismatch <"$patches/$p" >&2 || die "cannot take back $p"
	done
	: >"$tree/.applied"
	for p in $(series "$1"); do
		patch -d "$tree" -p1 -F0 --no-backup-if-mismatch <"$patches/$p" >"$tree/.patch.log" 2>&1 ||
			{ cat "$tree/.patch.log" >&2; die "$p does not apply to $archive"; }
		if grep -q fuzz "$tree/.patch.log"; then die "$p applies with fuzz"; fi
		echo "$p" >>"$tree/.applied"
	done
}

configure() { # variant, output directory
	local line
	cat $(fragments "$1") >"$2/fragment"
	make -s -C "$tree" O="$2" KCONFIG_ALLCONFIG="$2/fragment" allnoconfig >&2
	make -s -C "$tree" O="$2" olddefconfig >&2
	while read -r line; do
		grep -qx -- "$line" "$2/.config" || die "$line did not survive in the config of $version $1"
	done < <(grep '^CONFIG_' "$2/fragment")
	if [ "$1" = stock ] || [ "$1" = slice ]; then
		if grep -q FORK_CONNECTOR "$2/.config"; then die "FORK_CONNECTOR without its patch"; fi
	fi
}

build() { # variant, where to
	local out=$tree/build log=$2.log
	# lockdep changes every object file; the others share nearly all.
	[ "$1" != debug ] || out=$tree/build-debug
	mkdir -p "$out"
	apply "$1"
	configure "$1" "$out"
	say "building linux $version $1"
	local start=$SECONDS
	nice make -s -C "$tree" O="$out" -j"$(nproc)" bzImage >"$log" 2>&1 || { tail -40 "$log" >&2; die "linux $version $1 does not build"; }
	if grep 'warning:' "$log" | grep -F "$(sed -n 's,^+++ b/,,p' "$patches"/*.patch)" >&2; then die "the compiler warns, see above"; fi
	rm "$log"
	say "built in $((SECONDS - start)) s"
	mkdir "$2"
	cp "$out/arch/x86/boot/bzImage" "$out/System.map" "$2"
	cp "$out/.config" "$2/config"
}

review() { # the style the kernel asks of a patch
	local p
	for p in $(series patched); do
		(cd "$tree" && perl scripts/checkpatch.pl --strict --quiet "$patches/$p") >&2 || die "checkpatch objects to $p"
	done
}

tree=
clean_up() { [ -z "$tree" ] || rm -rf "$tree"; }
trap clean_up EXIT

exec 9>"$cache/lock-$version"
flock 9 # one build of it at a time
archive=$(fetch)
sum=$(sha256sum "$archive" | cut -d' ' -f1)
[ "$sum" = "$want_sum" ] || say "note: the patches were made for $version of $want; this is $(basename "$(dirname "$archive")")"
for variant; do
	dir=$cache/kernel/$version-$variant-$(key "$sum" "$variant")
	if [ ! -e "$dir/config" ]; then
		if [ -z "$tree" ]; then
			tree=$(mktemp -d "$cache/tree.XXXXXX")
			say "unpacking $archive"
			tar -xf "$archive" -C "$tree" --strip-components=1
			: >"$tree/.applied"
			review
		fi
		rm -rf "$dir" "$dir.tmp"
		build "$variant" "$dir.tmp"
		mv "$dir.tmp" "$dir"
	fi
	echo "$dir"
done
