// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strings"
	"testing"
)

// Mistakes in the command line have status 2 and one line that names them;
// they are found before the service is asked.
func TestUsageErrors(t *testing.T) {
	for _, tc := range []struct {
		args string
		want string
	}{
		{"frobnicate", `elsactl has no command "frobnicate"`},
		{"usag", `elsactl has no command "usag"; did you mean usage?`},
		{"group", "elsactl group needs a command"},
		{"group ad web 1", `elsactl group has no command "ad"; did you mean add?`},
		{"--frob", "unknown flag: --frob (see elsactl --help)"},
		{"usage --frob", "unknown flag: --frob (see elsactl usage --help)"},
		{"status -o yaml", `unknown output format "yaml"; use table, json, csv`},
		{"status --socket", "flag needs an argument: --socket"},
		{"status now", `elsactl status: "now" is too much; use elsactl status`},
		{"group create", "elsactl group create: an argument is missing; use elsactl group create NAME [--label KEY=VALUE]..."},
		{"group create a b", `"b" is too much`},
		{"group create a --label b", `label "b" is not KEY=VALUE`},
		{"group create a --label =b", `label "=b" is not KEY=VALUE`},
		{"group add web", "an argument is missing; use elsactl group add NAME [PID...] [--unit UNIT] [--cgroup PATH] [--user USER] [--tree] [--whole-life] [--move]"},
		{"group add web 12 x", `"x" is no process id`},
		{"group add web 0", `"0" is no process id`},
		{"group add web 2147483648", `"2147483648" is no process id`},
		{"group add web -- -1", `"-1" is no process id`},
		{"group remove web 1.5", `"1.5" is no process id`},
		{"group remove web 1 --move", "unknown flag: --move"},
		{"group list web", `"web" is too much`},
		{"group show", "an argument is missing"},
		{"group close a b", `"b" is too much`},
		{"group delete", "an argument is missing"},
		{"report web", `"web" is too much`},
		{"report --by week", `unknown --by "week"; use group, command, user, hour, day`},
		{"report --sort name --since soon", `"soon" is no time; use a duration`},
		{"report --sort size", `unknown --sort "size"; use name, cpu, processes`},
		{"report --since 1h --until 2h", "--since 1h is not before --until 2h"},
		{"explain", "an argument is missing; use elsactl explain PID"},
		{"explain sh", `"sh" is no process id`},
		{"mark a b", `"b" is too much; use elsactl mark [NAME] [--pid PID]`},
		{"mark --pid 0", `"0" is no process id`},
		{"usage --since", "flag needs an argument: --since"},
		{"usage web --since mark", "--since, --mine and groups: use one of these"},
		{"usage --mine --since mark", "--since, --mine and groups: use one of these"},
		{"run", "elsactl run: an argument is missing"},
		{"run -g", "flag needs an argument: 'g' in -g"},
		{"man", "an argument is missing"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			var stdout, stderr strings.Builder
			args := append([]string{"--socket", "/nonexistent/s"}, strings.Fields(tc.args)...)
			if status := run(args, &stdout, &stderr); status != 2 {
				t.Errorf("status %d, want 2", status)
			}
			line, rest, _ := strings.Cut(stderr.String(), "\n")
			if !strings.HasPrefix(line, "elsactl: ") || !strings.Contains(line, tc.want) || rest != "" {
				t.Errorf("stderr %q, want one line with %q", stderr.String(), tc.want)
			}
			if stdout.String() != "" {
				t.Errorf("stdout %q", stdout.String())
			}
		})
	}
}

// Every verb that asks the service says so when it cannot, with status 1.
func TestUnreachable(t *testing.T) {
	for _, args := range []string{
		"group create a", "group add a 1", "group remove a 1", "group list", "group show a",
		"group close a", "group delete a", "usage", "usage a --wait", "report", "explain 1", "status", "run -- true",
	} {
		var stdout, stderr strings.Builder
		status := run(append([]string{"--socket", "/nonexistent/s"}, strings.Fields(args)...), &stdout, &stderr)
		want := "elsactl: cannot reach elsad at /nonexistent/s: connect: no such file or directory: is it running? (systemctl start elsad, or --socket)\n"
		if status != 1 || stderr.String() != want || stdout.String() != "" {
			t.Errorf("%s: status %d, stdout %q, stderr %q", args, status, stdout.String(), stderr.String())
		}
	}
}

// Whatever the service says is one line.
func TestComplain(t *testing.T) {
	var b strings.Builder
	(&ctl{stderr: &b}).complain(errors.New("first\n\tsecond\r\nthird \x1b[2J"))
	if want := "elsactl: first second third \\x1b[2J\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

// What needs no service works without.
func TestHelp(t *testing.T) {
	for _, tc := range []struct{ args, want string }{
		{"", "Account for groups of processes"},
		{"--help", "Usage:\n  elsactl [--socket PATH] [-o FORMAT] COMMAND\n\n"},
		{"help run", "exit with its status"},
		{"group --help", "add         Put running processes in a group\n"},
		{"group add -h", "--whole-life"},
		{"--version", "elsactl version "},
		{"completion bash", "complete -o default"},
	} {
		var stdout, stderr strings.Builder
		if tc.args == "" {
			tc.want = "elsactl asks the accounting service"
		}
		status := run(strings.Fields(tc.args), &stdout, &stderr)
		if status != 0 || !strings.Contains(stdout.String(), tc.want) || stderr.String() != "" {
			t.Errorf("elsactl %s: status %d, stdout %q, stderr %q; want %q", tc.args, status, stdout.String(), stderr.String(), tc.want)
		}
	}
}
