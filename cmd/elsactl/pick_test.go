// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"slices"
	"testing"

	"elsa/pkg/proc"
)

const cgroups = `12:cpuset:/
1:name=systemd:/system.slice/nginx.service/worker
0::/kubepods.slice/pod1
`

func TestInUnit(t *testing.T) {
	for unit, want := range map[string]bool{
		"nginx": true, "nginx.service": true, "system.slice": true, "ngin": false, "nginx.scope": false, "worker": false, "kubepods.slice": true,
	} {
		if got := inUnit(cgroups, unit); got != want {
			t.Errorf("%s: %v, want %v", unit, got, want)
		}
	}
}

func TestInCgroup(t *testing.T) {
	for name, want := range map[string]bool{
		"/kubepods.slice": true, "kubepods.slice/pod1": true, "/sys/fs/cgroup/kubepods.slice/": true, "/kubepods.slice/pod": false,
		"/system.slice/nginx.service": true, "/nginx.service": false, "/": true,
	} {
		if got := inCgroup(cgroups, name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// Real processes are found by user, but not elsactl itself, and none of another user.
func TestPickUser(t *testing.T) {
	cmd := exec.Command("sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	uid := uint32(os.Getuid())
	names := func(u uint32) string {
		if u == uid {
			return "me"
		}
		return "other"
	}
	for user, want := range map[string]bool{"me": true, "nobody-has-this": false} {
		p := pick{user: user, root: proc.Default, names: names}
		pids, err := p.find()
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Contains(pids, cmd.Process.Pid); got != want || slices.Contains(pids, os.Getpid()) {
			t.Errorf("user %s: found: %v, want %v; itself: %v", user, got, want, slices.Contains(pids, os.Getpid()))
		}
	}
}
