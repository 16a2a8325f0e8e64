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
	"os/signal"
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

// interrupts is a command that counts the interrupts it gets: after the first
// it waits a moment for more, prints their number and exits with status 5.
func interrupts() {
	c := make(chan os.Signal, 10)
	signal.Notify(c, os.Interrupt)
	fmt.Println("ready")
	n := 0
	for late := (<-chan time.Time)(nil); ; {
		select {
		case <-c:
			n++
			late = time.After(200 * time.Millisecond)
		case <-late:
			fmt.Println("interrupts:", n)
			os.Exit(5)
		}
	}
}

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
	cmd := exec.CommandContext(ctx, "elsactl", "--socket", socket, "run", "--", "interrupts")
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
