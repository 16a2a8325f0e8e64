// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/pkg/proc"
)

// cgroup2 is a mounted unified hierarchy of control groups.
var cgroup2 = kerneltest.Requirement{Name: "cgroup2", Probe: func() error { _, err := proc.Cgroup2(); return err }}

// shortPrograms runs so many programs called true that live for some milliseconds, one
// after the other, as user 54321 of group 54322 and in a control group.
func shortPrograms(t *testing.T, n, ms int, cgroup string) {
	t.Helper()
	args := []string{"/bin/true"}
	if ms > 0 {
		dir, err := os.MkdirTemp("", "elsa-e2e-") // where any user may look
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		args = []string{filepath.Join(dir, "true"), fmt.Sprintf("0.%03d", ms)}
		if err := errors.Join(os.Chmod(dir, 0o755), os.Symlink("/bin/sleep", args[0])); err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(cgroup, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for range n {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential:  &syscall.Credential{Uid: 54321, Gid: 54322, NoSetGroups: true},
			UseCgroupFD: true, CgroupFD: fd,
		}
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKernelRulesTold runs 500 programs that are gone before anybody can look at
// them, for each kind of rule by what the kernel tells, alone and beside nine others,
// of a parent in a group or in none: no rule misses one.
func TestKernelRulesTold(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.BTF, kerneltest.BPF, cgroup2)
	root, err := proc.Cgroup2()
	if err != nil {
		t.Fatal(err)
	}
	cgroup, err := os.MkdirTemp(root, "elsa-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(cgroup) })
	const programs = 500
	rules := []struct{ group, rule string }{
		{"by-command", "command: 'tr?e', user: '54321'"},
		{"by-user", "user: '54321'"},
		{"by-unix-group", "unix-group: '54322'"},
		{"by-cgroup", "cgroup: /" + filepath.Base(cgroup)},
	}
	others := "\n  - {group: other-env, env: {ELSA_NOBODY_SETS_THIS: '1'}, user: '54321'}"
	for i := range 5 {
		others += fmt.Sprintf("\n  - {group: other-%d, user: '54321', command: 'tru*'}", i)
	}
	run := func(t *testing.T, list string, ms int, parent bool, groups ...string) {
		config := filepath.Join(t.TempDir(), "elsa.yaml")
		text := "commit-interval: 200ms\nrules:\n  match: all\n  list:" + list + "\n"
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d := start(t, "--config", config, "--source", "bpf", "--acct", "off", "--taskstats", "off")
		before := d.status().Rules.Missed // what ended while elsad started
		if parent {
			d.ctl("group", "create", "parents")
			d.ctl("group", "add", "parents", fmt.Sprint(os.Getpid()))
			groups = append(groups, "parents")
			defer d.ctl("group", "remove", "parents", fmt.Sprint(os.Getpid()))
		}
		shortPrograms(t, programs, ms, cgroup)
		d.ctl("usage", "--wait")
		for _, g := range groups {
			u := d.usage(g).Usage
			if g == "parents" && u.ProcessesEnded >= programs { // and elsactl
				continue
			}
			if u.ProcessesStarted != programs || u.ProcessesEnded != programs {
				t.Errorf("%s: %d of %d programs are in, and %d of them ended", g, u.ProcessesStarted, programs, u.ProcessesEnded)
			}
		}
		s := d.status()
		if s.Events.Lost != 0 {
			t.Errorf("%d events lost", s.Events.Lost)
		}
		// What others run may be at the root of the hierarchy, and to be looked up.
		if looks := strings.Contains(list, "env:") || strings.Contains(list, "cgroup:"); !looks && s.Rules.Missed != before {
			t.Errorf("%d missed", s.Rules.Missed-before)
		}
	}
	all, groups := "", []string(nil)
	for _, r := range rules {
		line := "\n  - {group: " + r.group + ", " + r.rule + "}"
		t.Run(r.group+" alone", func(t *testing.T) { run(t, line, 0, false, r.group) })
		all += line
		groups = append(groups, r.group)
	}
	for _, ms := range []int{0, 1, 5} {
		for _, parent := range []bool{false, true} {
			t.Run(fmt.Sprintf("ten together, %d ms, parent in a group %v", ms, parent), func(t *testing.T) {
				run(t, all+others, ms, parent, slices.Clone(groups)...)
			})
		}
	}
}

// TestKernelCloneParent lets a process make its child a child of its own parent:
// that is in the groups of the process that made it all the same.
func TestKernelCloneParent(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.BTF, kerneltest.BPF)
	d := start(t, "--source", "bpf", "--acct", "off", "--commit-interval", "200ms")
	d.ctl("group", "create", "a")
	c := kerneltest.Spawn(t, "sibling")
	d.ctl("group", "add", "a", fmt.Sprint(c.PID))
	c.Release()
	var sibling int
	if _, err := fmt.Sscan(c.Line(), &sibling); err != nil {
		t.Fatal(err)
	}
	c.Wait()
	if _, err := unix.Wait4(sibling, nil, 0, nil); err != nil {
		t.Fatalf("wait for the child that another made: %v", err)
	}
	d.ctl("usage", "--wait")
	if u := d.usage("a").Usage; u.ProcessesStarted != 2 || u.ProcessesEnded != 2 {
		t.Errorf("%d processes started and %d ended in the group, want the one that was put there and what it forked", u.ProcessesStarted, u.ProcessesEnded)
	}
}
