// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
)

// Requirement is something a test needs from the machine. Probe tries it for
// real, leaves nothing changed, and returns why it cannot be had.
type Requirement struct {
	Name  string
	Probe func() error
	// Patched tells that only a kernel with this project's patches has it, so
	// that ELSA_KERNEL=require does not ask for it.
	Patched bool
}

// The requirements that tests share. Each is probed once per process.
var (
	// Root is the superuser, all capabilities in the user namespace.
	Root = once("root", probeRoot)
	// InitNamespaces is a process in the initial pid, user and net namespace,
	// the only one in which the kernel's netlink feeds arrive.
	InitNamespaces = once("initial namespaces", probeNamespaces)
	// ProcEvents is a process connector that acknowledges LISTEN.
	ProcEvents = once("CONFIG_PROC_EVENTS", probeProcEvents)
	// BSDAcct is an acct(2) that this process may use.
	BSDAcct = once("CONFIG_BSD_PROCESS_ACCT", probeAcct)
	// Taskstats is a registered TASKSTATS generic netlink family.
	Taskstats = once("CONFIG_TASKSTATS", probeTaskstats)
	// BTF is the type information of the running kernel.
	BTF = once("CONFIG_DEBUG_INFO_BTF", probeBTF)
	// BPF is a kernel that loads a raw tracepoint program for this process.
	BPF = once("CONFIG_BPF_SYSCALL", probeBPF)
	// ForkConnector is a kernel that has the fork connector, from patches/.
	ForkConnector = patched(once("CONFIG_FORK_CONNECTOR", probeForkConnector))
)

// Need skips t unless the machine has all of needs, and says which is missing
// and why. ELSA_KERNEL in the environment makes a failure of it: "require" for
// all that a stock kernel has, "patched" for everything. ELSA_SKIPPED names a
// file to which it adds a line for each test it skips.
func Need(t testing.TB, needs ...Requirement) {
	t.Helper()
	for _, n := range needs {
		err := n.Probe()
		if err == nil {
			continue
		}
		switch env := os.Getenv("ELSA_KERNEL"); {
		case env == "patched", env == "require" && !n.Patched:
			t.Fatalf("ELSA_KERNEL=%s: no %s: %v", env, n.Name, err)
		}
		note(t, n.Name, err)
		t.Skipf("needs %s: %v", n.Name, err)
	}
}

// Program is a program on the search path, of a Debian package.
func Program(name, debian string) Requirement {
	return once(fmt.Sprintf("%s (apt install %s)", name, debian), func() error {
		_, err := exec.LookPath(name)
		return err
	})
}

// WaitsForExec is a kernel on which who looks at a process waits while that executes a
// program, as a test found that does it: see [Stuck].
func WaitsForExec(found bool) Requirement {
	return Requirement{Name: "kernel with exec_update_lock", Probe: func() error {
		if !found {
			return errors.New("nobody waits for a process in its exec")
		}
		return nil
	}}
}

// note tells of a skipped test: go test itself shows skips only with -v.
func note(t testing.TB, name string, reason error) {
	path := os.Getenv("ELSA_SKIPPED")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatalf("note a skipped test: %v", err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%s needs %s: %v\n", t.Name(), name, reason); err != nil {
		t.Fatalf("note a skipped test: %v", err)
	}
}

func once(name string, probe func() error) Requirement {
	return Requirement{Name: name, Probe: sync.OnceValue(probe)}
}

func patched(r Requirement) Requirement {
	r.Patched = true
	return r
}

func probeRoot() error {
	if uid := os.Geteuid(); uid != 0 {
		return fmt.Errorf("running as uid %d", uid)
	}
	return nil
}
