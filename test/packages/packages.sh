#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# packages.sh DIR installs the deb and the rpm in DIR into a fresh Debian tree,
# uses what they installed, and removes them again. Nothing may be left behind.
# Needs root; fetches the tools and the tree with apt and debootstrap.
set -eu

dir=$(realpath "$1")
deb=$(ls "$dir"/*.deb)
rpm=$(ls "$dir"/*.rpm)
work=$(mktemp -d "${TMPDIR:-/tmp}/elsa-packages.XXXXXX")
root=$work/root
daemon=
archive=

say() { echo "packages: $*"; }
fail() {
	echo "packages: FAIL: $*" >&2
	exit 1
}
cleanup() {
	for pid in $daemon $archive; do
		kill "$pid" 2>/dev/null || true
	done
	! mountpoint -q "$root/proc" || umount "$root/proc"
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

[ "$(id -u)" = 0 ] || fail "run it as root"
missing=
for tool in lintian debootstrap rpm systemd-analyze:systemd; do
	command -v "${tool%:*}" >/dev/null || missing="$missing ${tool#*:}"
done
if [ -n "$missing" ]; then
	apt-get update -qq
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

lintian --fail-on error,warning --display-level ">=warning" "$deb" 2>&1 | grep -v 'root privileges' && fail "lintian has something to say"
say "lintian is silent"

# The same mirror and release as this machine's.
. /etc/os-release
mirror=$(apt-get indextargets --format '$(SITE)' "Created-By: Packages" | grep -v security | head -1)
debootstrap --variant=minbase "$VERSION_CODENAME" "$root" "$mirror" >"$work/debootstrap.log" 2>&1 || {
	tail -20 "$work/debootstrap.log" >&2
	fail "debootstrap"
}

path=/usr/sbin:/usr/bin:/sbin:/bin
in_tree() { PATH=$path LC_ALL=C chroot "$root" "$@"; }

# files lists the tree without what any package leaves: the packagers' books,
# and users and groups, which stay because their numbers may be in use.
files() {
	find "$root" -xdev -printf '/%P %m %U:%G\n' | grep -Ev \
		'^/(proc|var/log|var/lib/(dpkg|rpm|systemd)|var/cache|usr/lib/sysimage|etc/g?shadow|etc/group|etc/passwd|etc/\.pwd\.lock|tmp)' | sort
}
files >"$work/before"

check_installed() {
	for f in /usr/sbin/elsad /usr/sbin/elsa-archive /usr/bin/elsactl /usr/lib/systemd/system/elsa-archive.service /usr/lib/systemd/system/elsad.service \
		/etc/elsa/elsa.yaml /usr/share/man/man5/elsa.yaml.5.gz /usr/share/elsa/openapi.yaml /usr/share/doc/elsa/docs/recipes.md \
		/usr/share/elsa/prometheus/elsa.rules.yml /usr/share/elsa/grafana/elsa.json "$1"; do
		[ -f "$root$f" ] || fail "$f is missing"
	done
	in_tree getent group elsa >/dev/null || fail "there is no group elsa"
	[ "$(stat -c '%a %u' "$root/var/lib/elsa")" = "700 0" ] || fail "/var/lib/elsa has the wrong mode"
	archivist=$(sed -n 's/^User=//p' "$root/usr/lib/systemd/system/elsa-archive.service")
	rights="--reuid $archivist --regid $archivist --clear-groups --bounding-set=-all --no-new-privs"
	[ "$archivist" != elsa ] && grep -q "^u $archivist " "$root/usr/lib/sysusers.d/elsa.conf" || fail "elsa-archive has no user of its own"
	modes "1770 root:$archivist /var/lib/elsa-archive" "2750 root:$archivist /var/lib/elsa-archive/journal"
	for line in "d /var/lib/elsa-archive 1770 root $archivist -" "d /var/lib/elsa-archive/journal 2750 root $archivist -"; do
		grep -qxF "$line" "$root/usr/lib/tmpfiles.d/elsa.conf" || fail "tmpfiles.d does not make what the package makes: $line"
	done
	in_tree elsad --version >/dev/null || fail "elsad does not run"
	in_tree elsactl --version >/dev/null || fail "elsactl does not run"
	in_tree elsactl rules check /etc/elsa/elsa.yaml >/dev/null || fail "the configuration is not in order"
	broken=$(grep -oE '\]\([a-zA-Z][^):#]*' "$root/usr/share/doc/elsa/README.md" | cut -c3- | while read -r link; do
		[ -e "$root/usr/share/doc/elsa/$link" ] || echo "$link"
	done | grep -Ev '^(bench|patches)/' || true)
	[ -z "$broken" ] || fail "links of the README lead nowhere: $broken"
	# The small tree has neither systemd nor procps.
	out=$(systemd-analyze verify --man=no --root="$root" elsad.service elsad-guard.service elsa-archive.service elsa-ship.service 2>&1 |
		grep elsa | grep -Ev 'Unit sysinit.target not found|/bin/kill is not executable' || true)
	[ -z "$out" ] || fail "the unit: $out"
}

# modes checks modes and owners.
modes() {
	for want; do
		got=$(in_tree stat -c '%a %U:%G %n' "${want##* }")
		[ "$got" = "$want" ] || fail "$got, want $want"
	done
}

# as_archivist runs a command as the unit elsa-archive.service does.
as_archivist() {
	# shellcheck disable=SC2086
	in_tree setpriv $rights "$@"
}

# use_it runs the installed services as the units would, but leaves the machine's
# accounting alone. The archive has so many rows of the group when it ends.
use_it() {
	mount -t proc proc "$root/proc"
	caps=$(sed -n 's/^CapabilityBoundingSet=//p' "$root/usr/lib/systemd/system/elsad.service" | tr 'A-Z ' 'a-z,' | sed 's/cap_/+/g')
	(umask 027 && exec chroot "$root" setpriv --bounding-set "-all,$caps" --no-new-privs /usr/sbin/elsad --config /etc/elsa/elsa.yaml \
		--acct off --journal on --web.listen-address 127.0.0.1:0) >"$work/elsad.log" 2>&1 &
	daemon=$!
	n=0
	until in_tree elsactl status >/dev/null 2>&1; do
		n=$((n + 1))
		if [ $n -gt 50 ] || ! kill -0 $daemon 2>/dev/null; then
			cat "$work/elsad.log" >&2
			fail "elsad does not get ready"
		fi
		sleep 0.2
	done
	if [ "$1" = 1 ]; then
		in_tree elsactl group create packaged >/dev/null || fail "elsactl group create"
		in_tree elsactl rules enable users | grep -q 'elsad reads it' || fail "elsactl rules enable"
	fi
	in_tree elsactl run --quiet -g packaged -- /bin/true || fail "elsactl run"
	in_tree elsactl usage packaged --wait -o json | grep -q '"processes_ended": *'"$1" || fail "the process is not on the bill"
	use_archive "$1"
	kill -TERM $daemon
	wait $daemon || {
		status=$?
		cat "$work/elsad.log" >&2
		fail "elsad ends with status $status"
	}
	daemon=
	umount "$root/proc"
}

# use_archive runs elsa-archive beside elsad.
use_archive() {
	for segment in "$root"/var/lib/elsa-archive/journal/*.journal; do
		modes "640 root:$archivist ${segment#"$root"}"
	done
	in_tree install -d -o "$archivist" -g "$archivist" /run/elsa-archive
	# shellcheck disable=SC2086
	(umask 027 && PATH=$path exec chroot "$root" setpriv $rights elsa-archive serve --every 1s) >"$work/archive.log" 2>&1 &
	archive=$!
	n=0
	until grep -q ready "$work/archive.log"; do
		n=$((n + 1))
		if [ $n -gt 50 ] || ! kill -0 $archive 2>/dev/null; then
			cat "$work/archive.log" >&2
			fail "elsa-archive does not get ready"
		fi
		sleep 0.2
	done
	as_archivist elsa-archive verify >/dev/null || fail "elsa-archive cannot read the journal"
	in_tree elsactl processes --group packaged -o csv >"$work/rows.csv" || fail "elsactl processes"
	[ "$(grep -c packaged "$work/rows.csv")" = "$1" ] || fail "the archive has not $1 rows of the group: $(cat "$work/rows.csv")"
	in_tree setpriv --reuid nobody --regid nogroup --clear-groups elsactl processes --group packaged -o csv >"$work/rows.csv" || fail "elsactl processes of a user"
	! grep -q packaged "$work/rows.csv" || fail "a user is told of root's processes"
	for command in "cat /var/lib/elsa/elsa.db" "ls /var/lib/elsa" "touch /var/lib/elsa-archive/journal/x" "mv /var/lib/elsa-archive/journal /var/lib/elsa-archive/j" \
		"rmdir /var/lib/elsa-archive/journal" "truncate -s 0 ${segment#"$root"}" "touch /etc/x /usr/x" "elsactl group delete packaged"; do
		# shellcheck disable=SC2086
		! as_archivist $command >/dev/null 2>&1 || fail "elsa-archive may do this: $command"
	done
	kill -TERM $archive
	wait $archive || {
		cat "$work/archive.log" >&2
		fail "elsa-archive does not end in order"
	}
	archive=
	# What root makes by hand, the service can replace.
	in_tree elsa-archive seal >/dev/null || fail "elsa-archive seal"
	[ -z "$(find "$root/var/lib/elsa-archive" -mindepth 1 -not -path '*/journal*' -user root)" ] || fail "root leaves files in the archive"
}

check_gone() {
	files >"$work/after"
	diff "$work/before" "$work/after" >&2 || fail "$1 leaves something behind"
}

cp "$deb" "$root/tmp/elsa.deb"
in_tree dpkg -i /tmp/elsa.deb >/dev/null
check_installed /etc/default/elsad
[ -L "$root/etc/systemd/system/multi-user.target.wants/elsad.service" ] || fail "the service is not enabled"
say "deb: installed"
use_it 1
say "deb: elsad, elsa-archive and elsactl do their work"
echo 'ELSAD_FLAGS=--acct=off' >>"$root/etc/default/elsad"
# An archive that was root's before.
in_tree install -d -m 750 /var/lib/elsa-archive/day=2026-01-01
touch "$root/var/lib/elsa-archive/day=2026-01-01/x.parquet"
chmod 644 "$root/var/lib/elsa-archive/day=2026-01-01/x.parquet"
in_tree chown -R root:root /var/lib/elsa-archive
chmod 750 "$root/var/lib/elsa-archive"
chmod 755 "$root/var/lib/elsa-archive/journal"
in_tree dpkg -i /tmp/elsa.deb >/dev/null
check_installed /etc/default/elsad
modes "750 $archivist:$archivist /var/lib/elsa-archive/day=2026-01-01" "644 $archivist:$archivist /var/lib/elsa-archive/day=2026-01-01/x.parquet"
rm -r "$root/var/lib/elsa-archive/day=2026-01-01"
grep -q '^    - group: user/' "$root/etc/elsa/elsa.yaml" || fail "an upgrade overwrites elsa.yaml"
grep -q acct=off "$root/etc/default/elsad" || fail "an upgrade overwrites the configuration"
[ -f "$root/var/lib/elsa/elsa.db" ] || fail "an upgrade removes the bills"
use_it 2
say "deb: upgraded, configuration, bills and archive kept, though the archive was root's"
in_tree dpkg -r elsa >/dev/null
[ ! -e "$root/usr/sbin/elsad" ] || fail "removal leaves elsad"
[ -f "$root/etc/default/elsad" ] && [ -f "$root/var/lib/elsa/elsa.db" ] || fail "removal takes configuration or bills"
in_tree dpkg -P elsa >/dev/null
check_gone "purge"
say "deb: removed and purged, nothing left"

# What every RPM system has.
mkdir -p "$root/etc/sysconfig" "$root/usr/lib/sysusers.d" "$root/usr/share/licenses" \
	"$root/usr/share/fish/vendor_completions.d" "$root/usr/share/zsh/site-functions" \
	"$root/usr/share/bash-completion/completions"
files >"$work/before"
in_rpm() { rpm --force-debian --root "$root" --dbpath /var/lib/rpm --nodeps "$@"; }
in_rpm --nosignature -i "$rpm"
check_installed /etc/sysconfig/elsad
in_rpm -e elsa
rmdir "$root/var/lib/elsa" "$root/var/lib/elsa-archive/journal" "$root/var/lib/elsa-archive" # its bills are the administrator's
rm -rf "$root/run/elsa"
check_gone "rpm -e"
say "rpm: installed and removed, nothing left"
