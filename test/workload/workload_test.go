// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"errors"
	"io/fs"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"elsa/pkg/proc"
)

func TestVerbs(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		args      string
		processes int
		burned    time.Duration // at least
		waited    bool          // all of it is in rusage as well
	}{
		{"fork 20", 21, 0, true},
		{"vfork 20", 21, 0, true},
		{"storm 21 4", 26, 0, true},
		{"burn 5 4", 6, 20 * ms, true},
		{"threads 3 10", 1, 30 * ms, true},
		{"threads 3 10 leader-first", 1, 30 * ms, true},
		{"exec-from-thread 20", 1, 40 * ms, true},
		{"self 20", 1, 20 * ms, true},
		{"hold 20", 1, 20 * ms, true},
		{"doublefork 10", 3, 0, false},
		{"orphans 3 10", 4, 0, false},
		{"killed-shell 4 20", 6, 60 * ms, false},
		{"shell 3", 8, 0, true},
		{"rss 1000000", 1, 0, true},
	} {
		t.Run(tt.args, func(t *testing.T) {
			args := strings.Fields(tt.args)
			got := Run(t, args...)
			if got.Verb != args[0] && args[0] != "exec-from-thread" || got.Processes != tt.processes {
				t.Errorf("reported %+v, want %d processes", got, tt.processes)
			}
			if got.Burned < tt.burned {
				t.Errorf("burned %v, want at least %v", got.Burned, tt.burned)
			}
			if tt.waited && got.Rusage < tt.burned-ms {
				t.Errorf("rusage %v, want at least %v", got.Rusage, tt.burned)
			}
		})
	}
}

// TestDaemon looks at what doublefork leaves behind: an orphan in a session
// whose leader is gone.
func TestDaemon(t *testing.T) {
	got := Run(t, "doublefork", "60000")
	defer unix.Kill(got.PID, unix.SIGKILL)
	p, err := proc.Default.Process(int32(got.PID))
	if err != nil {
		t.Fatal(err)
	}
	own, err := unix.Getsid(0)
	if err != nil {
		t.Fatal(err)
	}
	if p.Command() == "" || p.Dead() || p.Session == int32(own) || p.Session == p.PID || p.PPID == p.Session {
		t.Errorf("daemon %+v of a test in session %d", p, own)
	}
	if _, err := proc.Default.Process(p.Session); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the leader of the daemon's session: %v, want it gone", err)
	}
}

func TestIO(t *testing.T) {
	cmd := exec.Command(Build(t), "io", "1000000")
	cmd.Dir = t.TempDir()
	if out, err := cmd.Output(); err != nil {
		t.Errorf("io: %v%s", err, stderr(err))
	} else if _, err := Parse(out); err != nil {
		t.Error(err)
	}
}

func TestBadVerb(t *testing.T) {
	for _, args := range [][]string{nil, {"bad"}, {"burn", "1"}, {"threads", "1", "1", "late"}} {
		err := exec.Command(Build(t), args...).Run()
		if e := (*exec.ExitError)(nil); !errors.As(err, &e) || e.ExitCode() != 2 {
			t.Errorf("workload %q: %v, want exit status 2", args, err)
		}
	}
}

// TestChurn lets every kind of tree be made until standard input ends.
func TestChurn(t *testing.T) {
	cmd := exec.Command(Build(t), "churn", "cbzod", "2", "500")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(200*time.Millisecond, func() { in.Close() })
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(out)
	if err != nil {
		t.Fatal(err)
	}
	if got.Processes < 10 || got.Burned <= 0 {
		t.Errorf("reported %+v, want some trees", got)
	}
}

// TestSpawn asks for two children.
func TestSpawn(t *testing.T) {
	cmd := exec.Command(Build(t), "spawn", "2")
	cmd.Stdin = strings.NewReader("..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 3 {
		t.Fatalf("printed %q, want two pids and a report", out)
	}
	got, err := Parse([]byte(lines[2]))
	if err != nil || got.Processes != 3 || got.Burned < 4*time.Millisecond || lines[0] == lines[1] {
		t.Errorf("%v: pids %v, reported %+v, %v", err, lines[:2], got, got.Burned)
	}
}
