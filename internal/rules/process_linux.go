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
	fs proc.FS
	p  proc.Process

	exe    *string
	args   *string
	cgroup *string
	env    []byte
	gone   [4]bool // by what was looked for: the process was gone
	unseen bool

	envRead bool
	cut     *tally.Shared
}

// Look returns the facts of the process p. cut counts what is not read because it
// is too much; nil counts nothing.
func Look(fs proc.FS, p proc.Process, names Names, cut *tally.Shared) *Process {
	return &Process{named: named{names: names, uid: p.UID, gid: p.GID}, fs: fs, p: p, cut: cut}
}

func (f *Process) Command() string { return f.p.Command() }

// In says that the process is in a control group, which then is not looked up.
func (f *Process) In(cgroup string) { f.cgroup = &cgroup }

// Unseen reports whether something was asked since the last call that could not be
// looked up, since the process is gone, or is not looked up yet: a name.
func (f *Process) Unseen() bool {
	unseen := f.unseen || f.unsure
	f.unseen, f.unsure = false, false
	return unseen
}

// What is looked for.
const (
	executable = iota
	controlGroup
	environment
	arguments
)

// looked is called after a look at the process: it is the one that is meant, and had
// what was looked for, or nothing was seen.
func (f *Process) looked(what int, empty bool) {
	p, err := f.fs.Process(f.p.PID)
	f.gone[what] = err != nil || !p.Start.Same(f.p.Start) || empty && (p.Exiting || p.Dead())
}

// Executable is the path also of a file that was replaced since it was executed, which
// an upgrade does.
func (f *Process) Executable() string {
	if f.exe == nil {
		exe, _ := f.fs.Executable(f.p.PID) // a kernel thread has none
		f.looked(executable, exe == "")
		exe = strings.TrimSuffix(exe, " (deleted)")
		f.exe = &exe
	}
	f.unseen = f.unseen || f.gone[executable]
	return *f.exe
}

// Arguments are what follows the command's own name, with blanks in between, as the
// process has it in its memory.
func (f *Process) Arguments() string {
	if f.args == nil {
		text, cut := f.read("cmdline")
		if cut {
			f.cut.Add(tally.ProcessMemory)
		}
		f.looked(arguments, len(text) == 0)
		_, rest, _ := bytes.Cut(text, []byte{0})
		args := string(bytes.ReplaceAll(bytes.TrimRight(rest, "\x00"), []byte{0}, []byte{' '}))
		f.args = &args
	}
	f.unseen = f.unseen || f.gone[arguments]
	return *f.args
}

// Cgroup is the path in the unified hierarchy, or in the first that has one.
func (f *Process) Cgroup() string {
	if f.cgroup == nil {
		text, _ := f.read("cgroup")
		path := ""
		for line := range strings.Lines(string(text)) {
			parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
			if len(parts) == 3 && parts[2] != "/" && (path == "" || parts[0] == "0" || parts[1] == "name=systemd") {
				path = parts[2]
			}
		}
		f.looked(controlGroup, len(text) == 0)
		f.cgroup = &path
	}
	f.unseen = f.unseen || f.gone[controlGroup]
	return *f.cgroup
}

// maxMemory bounds what is read of another process's memory, which may be as large
// as the process wants. A variable beyond it is not there.
const maxMemory = 128 << 10

// Env looks for a variable in the environment as the process has it in its memory.
func (f *Process) Env(name string) []string {
	if !f.envRead {
		f.envRead = true
		var cut bool
		if f.env, cut = f.read("environ"); cut {
			f.cut.Add(tally.ProcessMemory)
		}
		f.looked(environment, len(f.env) == 0)
	}
	f.unseen = f.unseen || f.gone[environment]
	for rest := f.env; len(rest) > 0; {
		var e []byte
		e, rest, _ = bytes.Cut(rest, []byte{0})
		if v, ok := bytes.CutPrefix(e, []byte(name)); ok && len(v) > 0 && v[0] == '=' {
			return []string{string(v[1:])}
		}
	}
	return nil
}

// read reads the beginning of a file of the process; cut is true if there is more.
func (f *Process) read(name string) (text []byte, cut bool) {
	file, err := os.Open(fmt.Sprintf("%s/%d/%s", f.fs, f.p.PID, name))
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
