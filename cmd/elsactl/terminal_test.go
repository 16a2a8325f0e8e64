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

	"elsa/internal/kerneltest"
	"elsa/pkg/api"
	"elsa/pkg/client"
)

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
	kerneltest.Need(t, kerneltest.PseudoTerminal)
	socket := filepath.Join(t.TempDir(), "s")
	l, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	go api.Serve(t.Context(), l, newFake(), slog.New(slog.DiscardHandler))

	master, slave, err := kerneltest.OpenTerminal()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	ctx, cancel := context.WithTimeout(t.Context(), kerneltest.Patience)
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

// slow is a service that answers when it may.
type slow struct {
	*fake
	may <-chan struct{}
}

func (s slow) Usage(ctx context.Context, c api.Caller, q client.UsageQuery) (client.UsageReport, error) {
	select {
	case <-s.may:
	case <-ctx.Done():
	}
	return s.fake.Usage(ctx, c, q)
}

// A long call shows on a terminal what it waits for, and takes that away.
func TestTerminalProgress(t *testing.T) {
	kerneltest.Need(t, kerneltest.PseudoTerminal)
	socket := filepath.Join(t.TempDir(), "s")
	l, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	may := make(chan struct{})
	go api.Serve(t.Context(), l, slow{newFake(), may}, slog.New(slog.DiscardHandler))
	master, slave, err := kerneltest.OpenTerminal()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	ctx, cancel := context.WithTimeout(t.Context(), kerneltest.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "elsactl", "--socket", socket, "usage", "web", "--wait")
	cmd.Stdout, cmd.Stderr = slave, slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	const waiting = "\r\x1b[Kelsactl: waiting for the last records, "
	var seen []byte
	for answered := false; ; { // ends when nobody has the terminal any more
		buf := make([]byte, 4096)
		n, err := master.Read(buf)
		seen = append(seen, buf[:n]...)
		if !answered && strings.Count(string(seen), waiting) >= 2 {
			close(may)
			answered = true
		}
		if err != nil {
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	text := string(seen)
	if n := strings.Count(text, waiting); n < 2 || !strings.Contains(text, "\r\r\x1b[KGROUP ") {
		t.Errorf("the terminal saw %d progress lines: %q", n, text)
	}
}
