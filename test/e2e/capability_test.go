// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
)

// Users that need not exist: the service's own, and another whose processes it
// accounts for.
const (
	serviceUser = 60606
	otherUser   = 60607
)

var capabilities = map[string]uintptr{
	"CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_SYS_PACCT": unix.CAP_SYS_PACCT, "CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE,
	"CAP_DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH, "CAP_BPF": unix.CAP_BPF, "CAP_PERFMON": unix.CAP_PERFMON,
}

// unitCapabilities reads what a unit leaves the service.
func unitCapabilities(t *testing.T, unit string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../dist/systemd", unit))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.*)$`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s: no CapabilityBoundingSet", unit)
	}
	names := strings.Fields(string(m[1]))
	for _, n := range names {
		if _, ok := capabilities[n]; !ok {
			t.Fatalf("%s: %s is not known to this test", unit, n)
		}
	}
	return names
}

func without(names []string, drop ...string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(drop, n) })
}

// bounded makes a command run as the unit does: root, with so many capabilities
// and no way to more.
func bounded(cmd *exec.Cmd, names []string) {
	set := "-all"
	for _, n := range names {
		set += ",+" + strings.ToLower(strings.TrimPrefix(n, "CAP_"))
	}
	cmd.Args = append([]string{"setpriv", "--no-new-privs", "--inh-caps=-all", "--bounding-set=" + set, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/usr/bin/setpriv"
}

// ambient makes a command run as a user without any rights but these.
func ambient(cmd *exec.Cmd, names []string) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: serviceUser, Gid: serviceUser}}
	for _, n := range names {
		cmd.SysProcAttr.AmbientCaps = append(cmd.SysProcAttr.AmbientCaps, capabilities[n])
	}
}

// needCapabilities is what the tests of this file need.
func needCapabilities(t *testing.T) {
	t.Helper()
	needKernel(t)
	kerneltest.Need(t, kerneltest.BPF, kerneltest.BTF, kerneltest.Requirement{Name: "setpriv of package util-linux", Probe: func() error {
		_, err := exec.LookPath("/usr/bin/setpriv")
		return err
	}})
	os.Chmod(bin, 0o755)
}

// give makes dir, and the way to it, usable for the service's user.
func give(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chown(dir, serviceUser, serviceUser); err != nil {
		t.Fatal(err)
	}
	os.Chmod(filepath.Dir(dir), 0o755)
}

// shell runs a script as the other user and returns it once it has printed a
// line; it is killed when t ends.
func shell(t *testing.T, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: otherUser, Gid: otherUser}}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if _, err := out.Read(make([]byte, 64)); err != nil {
		t.Fatalf("script of another user: %v", err)
	}
	return cmd
}

// mainJob makes sure that the service does all it promises.
func (d *daemon) mainJob(t *testing.T) {
	t.Helper()
	s := d.status()
	if s.Sources.Taskstats != "on" || s.Sources.Exact != "on" {
		t.Errorf("sources %+v, want taskstats and exact on", s.Sources)
	}
	if said := d.said(); strings.Contains(said, "CAP_") {
		t.Errorf("elsad misses capabilities:\n%s", said)
	}
	d.ctl("run", "-g", "a", "--quiet", "--", "sh", "-c", "for i in $(seq 50); do /bin/true; done; head -c 100000 /dev/zero >/dev/null")
	u := d.usage("a")
	// The shell, seq in its own subshell, 50 times true, and head.
	if got, want := u.Usage.ProcessesEnded, uint64(53); got != want {
		t.Errorf("%d processes ended, want %d", got, want)
	}
	// Some virtual machines sample a death now and then.
	if u.Precision.Exact+2 < u.Usage.ProcessesEnded || u.Precision.Rounded != 0 {
		t.Errorf("precision %+v, want all exact", u.Precision)
	}
	if u.Usage.ReadChars < 100000 || u.Usage.WriteChars < 100000 || u.Usage.MaxRSSBytes == 0 {
		t.Errorf("I/O and memory of the dead: %+v", u.Usage)
	}
	if live := d.liveIO(t, "b"); live < 100000 {
		t.Errorf("another user's live process wrote %d bytes by its bill, want 100000 or more", live)
	}
}

// liveIO puts another user's process, which has written 100000 bytes, in a
// group whole and returns what its bill says while it lives.
func (d *daemon) liveIO(t *testing.T, group string) uint64 {
	t.Helper()
	// The shell itself writes, since printf is built in.
	cmd := shell(t, `for i in $(seq 100); do printf '%01000d' 0; done >/dev/null; echo ready; exec sleep 600`)
	pid := strconv.Itoa(cmd.Process.Pid)
	d.ctl("group", "create", group)
	d.ctl("group", "add", "--whole-life", group, pid)
	if out := d.ctl("group", "show", group); !strings.Contains(out, pid) {
		t.Errorf("group show does not show process %s of another user:\n%s", pid, out)
	}
	return d.usage(group).Usage.WriteChars
}

func TestKernelUnitCapabilitiesAreEnough(t *testing.T) {
	needCapabilities(t)
	all := unitCapabilities(t, "elsad.service")
	t.Run("root", func(t *testing.T) {
		startAs(t, func(cmd *exec.Cmd) { bounded(cmd, all) }, "--taskstats", "on", "--exact", "on").mainJob(t)
	})
	t.Run("a user", func(t *testing.T) {
		startAs(t, func(cmd *exec.Cmd) {
			give(t, filepath.Dir(cmd.Args[2]))
			ambient(cmd, all)
		}, "--taskstats", "on", "--exact", "on").mainJob(t)
	})
}

// Each capability of the unit is needed: without it a start is refused, or what
// it is for is missing.
func TestKernelUnitCapabilitiesAreNeeded(t *testing.T) {
	needCapabilities(t)
	all := unitCapabilities(t, "elsad.service")
	if got, want := slices.Sorted(slices.Values(all)), slices.Sorted(maps.Keys(capabilities)); !slices.Equal(got, want) {
		t.Fatalf("the unit leaves %v, this test knows what %v are for", got, want)
	}
	for _, name := range []string{"CAP_NET_ADMIN", "CAP_SYS_PACCT", "CAP_BPF", "CAP_PERFMON"} {
		t.Run(name, func(t *testing.T) {
			cmd := elsad(t, "--taskstats", "on", "--exact", "on")
			bounded(cmd, without(all, name))
			refused(t, cmd, name)
		})
	}
	for _, name := range []string{"CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"} {
		t.Run(name, func(t *testing.T) {
			d := startAs(t, func(cmd *exec.Cmd) { bounded(cmd, without(all, name)) })
			if got := d.liveIO(t, "b"); got != 0 {
				t.Errorf("%d bytes on the bill of another user's live process without %s, want none: is it needed?", got, name)
			}
			if !strings.Contains(d.said(), name) {
				t.Errorf("elsad does not say that %s is missing:\n%s", name, d.said())
			}
		})
	}
}

// The guard switches off what a crash left on, with its unit's capabilities.
func TestKernelGuardCapabilities(t *testing.T) {
	needCapabilities(t)
	guard := unitCapabilities(t, "elsad-guard.service")
	d := start(t)
	segments := func() (size int64) {
		names, _ := filepath.Glob(filepath.Join(d.dir, "state/pacct/*"))
		for _, name := range names {
			if fi, err := os.Stat(name); err == nil {
				size += fi.Size()
			}
		}
		return size
	}
	grows := func() bool {
		before := segments()
		if err := exec.Command("true").Run(); err != nil {
			t.Fatal(err)
		}
		return segments() > before
	}
	d.kill()
	if !grows() {
		t.Fatal("accounting is off after a crash")
	}
	stop := func(names []string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, "elsad"), "--stop-accounting", "--state-dir", filepath.Join(d.dir, "state"))
		bounded(cmd, names)
		return cmd
	}
	for _, name := range guard {
		refused(t, stop(without(guard, name)), name)
	}
	if !grows() {
		t.Error("a refused guard switched accounting off")
	}
	if out, err := stop(guard).CombinedOutput(); err != nil {
		t.Fatalf("guard: %v: %s", err, out)
	}
	if grows() {
		t.Error("accounting is on after the guard")
	}
	d.start()
}
