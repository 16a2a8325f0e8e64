// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/pkg/api"
)

// pty makes a pseudo terminal.
func pty() (master, slave *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		return nil, nil, err
	}
	return master, slave, nil
}

var pseudoTerminal = kerneltest.Requirement{Name: "pseudo terminals", Probe: func() error {
	m, s, err := pty()
	if err == nil {
		m.Close()
		s.Close()
	}
	return err
}}

// On a terminal, Ctrl-C reaches the command, once; elsactl waits for it and
// prints the bill.
func TestTerminalInterrupt(t *testing.T) {
	kerneltest.Need(t, pseudoTerminal)
	socket := filepath.Join(t.TempDir(), "s")
	l, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	go api.Serve(t.Context(), l, newFake(), slog.New(slog.DiscardHandler))

	master, slave, err := pty()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	// After the first interrupt the command waits a moment for a second one.
	const script = `n=0; trap 'n=$((n+1))' INT; echo ready
		while [ $n = 0 ]; do sleep 0.01; done
		i=0; while [ $i -lt 20 ]; do sleep 0.01; i=$((i+1)); done
		echo interrupts: $n; exit 5`
	cmd := exec.CommandContext(ctx, "elsactl", "--socket", socket, "run", "--", "sh", "-c", script)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	var seen []string
	for lines := bufio.NewScanner(master); lines.Scan(); { // ends when nobody has the terminal any more
		line := strings.TrimSpace(lines.Text())
		seen = append(seen, line)
		if line == "ready" {
			master.WriteString("\x03")
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 5 {
		t.Errorf("elsactl ended with %v, want status 5", err)
	}
	text := strings.Join(seen, "\n")
	for _, want := range []string{"interrupts: 1\n", "\nuser         1.500s\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the terminal lacks %q:\n%s", want, text)
		}
	}
}
