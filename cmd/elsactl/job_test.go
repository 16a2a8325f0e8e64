// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"elsa/internal/kerneltest"
)

// On a terminal a script with elsactl run behaves as one without: what a key sends,
// what another process sends, and a command that stops itself.
func TestTerminalJobs(t *testing.T) {
	kerneltest.Need(t, kerneltest.PseudoTerminal)
	program, socket := linked(t), service(t, newFake())
	for _, tc := range []struct {
		name, script string
		send         string // at the line "ready"
		want         []string
		not          string
	}{
		{"Ctrl-C ends the script", `$RUN sh -c 'echo ready; exec sleep 60'; echo went on`, "\x03", nil, "went on"},
		{"Ctrl-C that the command takes does not", `$RUN sh -c 'trap "echo got it; exit 3" INT; echo ready; while :; do sleep 0.05; done'; echo status=$?`, "\x03", []string{"got it", "status=3"}, ""},
		{"kill -INT of a script",
			`set -m; $RUN sh -c 'trap "echo got it; exit 3" INT; echo ready; while :; do sleep 0.05; done' & p=$!; read x; kill -INT $p; wait $p; echo status=$?`,
			"\n", []string{"got it", "status=3"}, ""},
		{"a command that stops itself",
			`set -m; $RUN sh -c 'kill -STOP $$; echo again'; echo status=$?; echo ready; read x; fg; echo status=$?`,
			"\n", []string{"status=147", "again", "status=0"}, ""},
		{"Ctrl-Z", `set -m; $RUN sh -c 'echo ready; exec sleep 0.5'; echo status=$?; fg >/dev/null; echo status=$?`,
			"\x1a", []string{"status=148", "status=0"}, ""},
		{"kill -CONT", `set -m; $RUN sh -c 'kill -STOP $$; echo again'; echo status=$?; echo ready; read x; kill -CONT %1; wait %1; echo status=$?`,
			"\n", []string{"status=147", "again", "status=0"}, ""},
	} {
		for _, run := range []string{"", program + " --socket " + socket + " run --quiet --", program + " --socket " + socket + " run -g web --"} {
			t.Run(tc.name+"/"+strings.Join(strings.Fields(run)[min(3, len(strings.Fields(run))):], " "), func(t *testing.T) {
				master, slave, err := kerneltest.OpenTerminal()
				if err != nil {
					t.Fatal(err)
				}
				defer master.Close()
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				cmd := exec.CommandContext(ctx, "bash", "-c", tc.script)
				cmd.Env = append(os.Environ(), "RUN="+run)
				// Signals that are ignored here would be so there.
				cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
				cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				slave.Close()
				var seen []string
				for lines := bufio.NewScanner(master); lines.Scan(); {
					line := strings.TrimSpace(lines.Text())
					seen = append(seen, line)
					if line == "ready" {
						master.WriteString(tc.send)
					}
				}
				cmd.Wait()
				text := strings.Join(seen, "\n") + "\n"
				if ctx.Err() != nil {
					t.Errorf("it does not end")
				}
				rest := text
				for _, want := range tc.want {
					_, after, ok := strings.Cut(rest, want+"\n")
					if !ok {
						t.Fatalf("no %q where it belongs in:\n%s", want, text)
					}
					rest = after
				}
				if tc.not != "" && strings.Contains(text, tc.not) {
					t.Errorf("%q in:\n%s", tc.not, text)
				}
			})
		}
	}
}
