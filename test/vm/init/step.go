// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// step is one line of the plan: a name, "pass" or "fail", a time limit, and a
// command with its arguments, separated by blanks.
//
// A step that must pass ends with status 0. A step that must fail is a test
// binary run without the patch it tests: it ends with status 1, that of a
// failed test, and not with that of a crash or of a wrong flag.
type step struct {
	name   string
	status int
	limit  time.Duration
	argv   []string
}

func parsePlan(text string) ([]step, error) {
	var steps []step
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if len(f) < 4 {
			return nil, fmt.Errorf("parse plan: %q: want name, pass or fail, limit, command", line)
		}
		s := step{name: f[0], argv: f[3:]}
		switch f[1] {
		case "pass":
		case "fail":
			s.status = 1
		default:
			return nil, fmt.Errorf("parse plan: %q: neither pass nor fail", f[1])
		}
		var err error
		if s.limit, err = time.ParseDuration(f[2]); err != nil {
			return nil, fmt.Errorf("parse plan: %w", err)
		}
		steps = append(steps, s)
	}
	if len(steps) == 0 {
		return nil, errors.New("parse plan: no steps")
	}
	return steps, nil
}

// run starts the step in a process group of its own, reaps whatever dies until
// the step itself has, and kills the group if that takes longer than allowed.
func (s step) run() error {
	fmt.Printf("step %s: %s\n", s.name, strings.Join(s.argv, " "))
	pid, err := syscall.ForkExec(s.argv[0], s.argv, &syscall.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []uintptr{0, 1, 2},
		Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", s.argv[0], err)
	}
	timedOut := make(chan struct{})
	timer := time.AfterFunc(s.limit, func() {
		close(timedOut)
		unix.Kill(-pid, unix.SIGKILL)
	})
	defer timer.Stop()
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait: %w", err)
		}
		if got != pid {
			continue // an orphan
		}
		select {
		case <-timedOut:
			return fmt.Errorf("not done within %v", s.limit)
		default:
		}
		if !ws.Exited() || ws.ExitStatus() != s.status {
			return fmt.Errorf("wait status %#x, want exit status %d", uint32(ws), s.status)
		}
		return nil
	}
}
