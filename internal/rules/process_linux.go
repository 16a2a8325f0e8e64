// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"elsa/pkg/proc"
)

// Process are the facts of a live process, but for the groups it is in. What
// costs a file of /proc is looked up when it is first asked for, and once. What
// cannot be read is unknown: empty.
type Process struct {
	fs    proc.FS
	names Names
	p     proc.Process

	exe    *string
	cgroup *string
	env    [][]byte
	unseen bool
}

// Look returns the facts of the process p.
func Look(fs proc.FS, p proc.Process, names Names) *Process {
	return &Process{fs: fs, names: names, p: p}
}

func (f *Process) Command() string { return f.p.Command() }
func (f *Process) UID() uint32     { return f.p.UID }
func (f *Process) GID() uint32     { return f.p.GID }

func (f *Process) User() string      { return f.names.User(f.p.UID) }
func (f *Process) UnixGroup() string { return f.names.UnixGroup(f.p.GID) }

// In says that the process is in a control group, which then is not looked up.
func (f *Process) In(cgroup string) { f.cgroup = &cgroup }

// Unseen reports whether something was asked since the last call that could not be
// looked up, since the process is gone.
func (f *Process) Unseen() bool {
	unseen := f.unseen
	f.unseen = false
	return unseen
}

// looked is called after a look at the process: it is the one that is meant, and had
// what was looked for, or nothing was seen.
func (f *Process) looked(empty bool) {
	p, err := f.fs.Process(f.p.PID)
	f.unseen = f.unseen || err != nil || !p.Start.Same(f.p.Start) || empty && (p.Exiting || p.Dead())
}

func (f *Process) Executable() string {
	if f.exe == nil {
		exe, _ := f.fs.Executable(f.p.PID) // a kernel thread has none
		f.looked(exe == "")
		f.exe = &exe
	}
	return *f.exe
}

// Cgroup is the path in the unified hierarchy, or in the first that has one.
func (f *Process) Cgroup() string {
	if f.cgroup == nil {
		text, _ := os.ReadFile(fmt.Sprintf("%s/%d/cgroup", f.fs, f.p.PID))
		path := ""
		for line := range strings.Lines(string(text)) {
			parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
			if len(parts) == 3 && parts[2] != "/" && (path == "" || parts[0] == "0" || parts[1] == "name=systemd") {
				path = parts[2]
			}
		}
		f.looked(len(text) == 0)
		f.cgroup = &path
	}
	return *f.cgroup
}

func (f *Process) Env(name string) []string {
	if f.env == nil {
		text, _ := os.ReadFile(fmt.Sprintf("%s/%d/environ", f.fs, f.p.PID))
		f.looked(len(text) == 0)
		f.env = bytes.Split(text, []byte{0})
	}
	for _, e := range f.env {
		if v, ok := bytes.CutPrefix(e, []byte(name+"=")); ok {
			return []string{string(v)}
		}
	}
	return nil
}
