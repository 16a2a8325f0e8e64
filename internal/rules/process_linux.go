// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"elsa/internal/tally"
	"elsa/pkg/proc"
)

// Process are the facts of a live process, but for the groups it is in. What
// costs a file of /proc is looked up when it is first asked for, and once. What
// cannot be read is unknown: empty.
type Process struct {
	named
	at looker
	p  proc.Process

	found  [4]*finding // by what was looked for
	cgroup *string     // known without a look
	unseen bool
	late   bool
	cut    *tally.Shared
}

// finding is what was found of a process.
type finding struct {
	text []byte
	cut  bool // there was more
	gone bool // so was the process, or it did not let itself be looked at
}

// looker reads the files of processes.
type looker struct {
	fs proc.FS
	// look has a function called that reads, in a bounded time; see [proc.Bounded].
	look func(pid int32, f func()) error
}

// Look returns the facts of the process p. cut counts what is not read because it
// is too much; nil counts nothing. It may have to wait for the process.
func Look(fs proc.FS, p proc.Process, names Names, cut *tally.Shared) *Process {
	return &Process{named: named{names: names, uid: p.UID, gid: p.GID}, at: looker{fs, func(_ int32, f func()) error { f(); return nil }}, p: p, cut: cut}
}

// LookBounded is Look that waits no longer than b.
func LookBounded(b *proc.Bounded, p proc.Process, names Names, cut *tally.Shared) *Process {
	return &Process{named: named{names: names, uid: p.UID, gid: p.GID}, at: looker{b.FS(), b.Look}, p: p, cut: cut}
}

func (f *Process) Command() string { return f.p.Command() }

// In says that the process is in a control group, which then is not looked up.
func (f *Process) In(cgroup string) { f.cgroup = &cgroup }

// Unseen reports whether something was asked since the last call that could not be
// looked up, since the process is gone or busy, or its name is not known yet.
func (f *Process) Unseen() bool {
	unseen := f.unseen || f.unsure
	f.unseen, f.unsure = false, false
	return unseen
}

// Late reports whether something was asked since the last call of which the answer
// is on its way; see [proc.Coming].
func (f *Process) Late() bool {
	late := f.late
	f.late = false
	return late
}

// What is looked for.
const (
	executable = iota
	controlGroup
	arguments
	environment
)

// find looks for something, once: the process is the one that is meant, and had
// what was looked for, or nothing was seen.
func (f *Process) find(what int, read func(r *finding)) *finding {
	if f.found[what] == nil {
		r, at, pid, start := &finding{}, f.at, f.p.PID, f.p.Start
		err := at.look(pid, func() {
			read(r)
			p, err := at.fs.Process(pid)
			r.gone = err != nil || !p.Start.Same(start) || len(r.text) == 0 && (p.Exiting || p.Dead())
		})
		if err != nil {
			r = &finding{gone: true}
			f.late = f.late || proc.Coming(err)
		} else if r.cut {
			f.cut.Add(tally.ProcessMemory)
		}
		f.found[what] = r
	}
	f.unseen = f.unseen || f.found[what].gone
	return f.found[what]
}

// Executable is the path also of a file that was replaced since it was executed, which
// an upgrade does.
func (f *Process) Executable() string {
	fs, pid := f.at.fs, f.p.PID
	return string(f.find(executable, func(r *finding) {
		exe, _ := fs.Executable(pid) // a kernel thread has none
		r.text = []byte(strings.TrimSuffix(exe, " (deleted)"))
	}).text)
}

// Cgroup is the path in the unified hierarchy, or in the first that has one.
func (f *Process) Cgroup() string {
	if f.cgroup != nil {
		return *f.cgroup
	}
	path := ""
	for m := range proc.Memberships(string(f.find(controlGroup, f.reading("cgroup")).text)) {
		if m.Path != "/" && (path == "" || m.Hierarchy == "0" || m.Controllers == "name=systemd") {
			path = m.Path
		}
	}
	return path
}

// Args are the arguments after the first, which names the program, as the process has
// them in its memory.
func (f *Process) Args() string {
	text := f.find(arguments, f.reading("cmdline")).text
	_, rest, _ := bytes.Cut(bytes.TrimSuffix(text, []byte{0}), []byte{0})
	return string(bytes.ReplaceAll(rest, []byte{0}, []byte{' '}))
}

// maxMemory bounds what is read of another process's memory, which may be as large
// as the process wants. A variable beyond it is not there.
const maxMemory = 128 << 10

// Env looks for a variable in the environment as the process has it in its memory.
func (f *Process) Env(name string) []string {
	// By the name, as there may be a hundred thousand empty variables.
	key := []byte(name + "=")
	for rest, begins := f.find(environment, f.reading("environ")).text, true; ; {
		before, after, found := bytes.Cut(rest, key)
		switch n := len(before); {
		case !found:
			return nil
		case n == 0 && begins, n > 0 && before[n-1] == 0:
			v, _, _ := bytes.Cut(after, []byte{0})
			return []string{string(v)}
		}
		rest, begins = after, false
	}
}

// reading reads the beginning of a file of the process.
func (f *Process) reading(name string) func(*finding) {
	path := fmt.Sprintf("%s/%d/%s", f.at.fs, f.p.PID, name)
	return func(r *finding) { r.text, r.cut = head(path) }
}

// head reads the beginning of a file; cut is true if there is more.
func head(path string) (text []byte, cut bool) {
	file, err := os.Open(path)
	if err != nil {
		return nil, false
	}
	defer file.Close()
	text, _ = io.ReadAll(io.LimitReader(file, maxMemory+1))
	if len(text) > maxMemory {
		return text[:maxMemory], true
	}
	return text, false
}
