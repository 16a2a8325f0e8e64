// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/api"
)

// service starts a server of a fake service, and returns its socket.
func service(t *testing.T, s api.Service) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	go api.Serve(t.Context(), l, s, slog.New(slog.DiscardHandler))
	return socket
}

// linked is elsactl as the Makefile has it linked.
func linked(t *testing.T) string {
	t.Helper()
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	entry := regexp.MustCompile(`(?m)^ENTRY\s*:= (.*)$`).FindSubmatch(makefile)
	if entry == nil || !strings.Contains(string(makefile), "$(ENTRY)' -o $(BIN)/ ./cmd/elsactl") {
		t.Fatal("the Makefile does not have elsactl linked with an entry of its own")
	}
	program := filepath.Join(t.TempDir(), "elsactl")
	build := exec.Command("go", "build", "-ldflags", "-s -w "+string(entry[1]), "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build elsactl: %v\n%s", err, out)
	}
	return program
}

// look are the commands that print the world that they find. setpriv knows the
// signal for the parent's death; it can do no more for it than say so.
var look = [][]string{
	{"cat", "/proc/self/status", "/proc/self/stat", "/proc/self/limits", "/proc/self/environ", "/proc/self/oom_score_adj",
		"/proc/self/timerslack_ns", "/proc/self/coredump_filter", "/proc/self/personality", "/proc/self/cgroup"},
	{"find", "-H", "/proc/self/cwd", "/proc/self/root", "/proc/self/ns", "/proc/self/fd", "-maxdepth", "1", "-type", "l", "-printf", "%p %l %M\n"},
	{"grep", "-r", "flags", "/proc/self/fdinfo"},
	{"setpriv", "--dump"},
}

// standards prints what the standard descriptors are where nothing could be printed.
var standards = [][]string{{"bash", "-c", `for f in 0 1 2 3; do readlink "/proc/$$/fd/$f" || echo "$f closed"; done >seen 2>&1`}}

// own is what two processes cannot have alike, line by line: ids and memory.
var own = regexp.MustCompile(`(?m)^(Pid|Tgid|PPid|NSpid|NStgid|Ngid|TracerPid|FDSize|Vm\w+|Rss\w+|Hugetlb\w+|\w+_ctxt_switches|SigQ|Threads|` +
	`x86_Thread\w*|untag_mask):.*$|/proc/\d+/\w+|(pipe|socket):\[\d+\]`)

// stat is the line of proc_pid_stat(5), of which fields 5-8 (group, session,
// terminal, its foreground group), 18 and 19 (priority, nice), 40 and 41 (of the
// scheduler) are of the world.
var stat = regexp.MustCompile(`(?m)^\d+ \(\w+\) R \d+ (\d+ \d+ \d+ -?\d+) (?:-?\d+ ){9}(-?\d+ -?\d+) (?:-?\d+ ){20}(\d+ \d+) .*$`)

// A command finds under elsactl run what it finds without, whatever that is.
func TestRunIsInvisible(t *testing.T) {
	program, socket := linked(t), service(t, newFake())
	for _, tc := range []struct {
		name, setup string
		closes      bool // standard descriptors
	}{
		{"as it is", "", false},
		{"descriptors", "exec 3>a 4<b 5<>c 9>>a 200<b", false},
		{"a descriptor that does not block", "exec 3>a; python3 -c 'import os; os.set_blocking(3, False)'", false},
		{"no standard input", "exec <&-", true},
		{"no standard output but 3", "exec 3>&1 >&-", true},
		{"no standard error", "exec 2>&-", true},
		{"nothing", "exec <&- >&- 2>&-", true},
		{"signals ignored", "trap '' HUP INT QUIT ABRT USR1 USR2 PIPE ALRM TERM STKFLT CHLD CONT TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR", false},
		{"faults ignored", "trap '' ILL TRAP BUS FPE SEGV SYS", false},
		{"real-time signals ignored", "trap '' 34 35 40 50 63 64", false},
		{"signals blocked", `set -- env --block-signal=HUP,INT,USR1,USR2,TERM,CHLD,TSTP,ALRM,SEGV,ILL,BUS,40,64 "$@"`, false},
		{"all blocked and ignored", `set -- env --block-signal --ignore-signal "$@"`, false},
		{"environment", `set -- python3 -c 'import ctypes,sys
def v(l): return (ctypes.c_char_p*(len(l)+1))(*[s.encode() for s in l],None)
ctypes.CDLL(None).execve(sys.argv[1].encode(), v(sys.argv[1:]), v(["PATH=/usr/bin:/bin","A=1","A=2","","=x","noequals","GODEBUG=x=1","B=\xff"]))' "$@"`, false},
		{"limits", "ulimit -Sn 77; ulimit -Sc 0; ulimit -s 4096; ulimit -Su 9999", false},
		{"hard limit of files", "ulimit -n 99", false},
		{"mask and directory", "umask 027; mkdir d; cd d", false},
		{"nice, scheduler and processor", `set -- nice -n 7 chrt -b 0 taskset 1 ionice -c 3 "$@"`, false},
		{"death of the parent", `set -- setpriv --pdeathsig TERM "$@"`, false},
		{"no new rights", `set -- setpriv --no-new-privs "$@"`, false},
		{"out of memory", "echo 123 >/proc/self/oom_score_adj; echo 7777777 >/proc/self/timerslack_ns; echo 0x11 >/proc/self/coredump_filter", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			see := func(run ...string) string {
				t.Helper()
				var out strings.Builder
				commands := look
				if tc.closes {
					commands = standards
				}
				for _, c := range commands {
					path, err := exec.LookPath(c[0])
					if err != nil {
						t.Fatal(err)
					}
					argv := append([]string{"-c", ": >a; : >b; " + tc.setup + "\n" + `exec "$@"`, "bash"}, run...)
					cmd := exec.Command("bash", append(append(argv, path), c[1:]...)...)
					cmd.Dir = dir
					cmd.Env = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "FOO=bar"}
					got, err := cmd.Output()
					if tc.closes {
						got, err = os.ReadFile(filepath.Join(dir, "seen"))
						os.Remove(filepath.Join(dir, "seen"))
					}
					if err != nil && len(got) == 0 { // grep complains of the descriptor that it looks by
						t.Fatalf("%s: %v", c[0], err)
					}
					out.Write(got)
				}
				return own.ReplaceAllString(stat.ReplaceAllString(out.String(), "$1 $2 $3"), "")
			}
			plain := see()
			if len(plain) < 500 && !tc.closes || plain == "" {
				t.Fatalf("nothing was seen:\n%s", plain)
			}
			for _, bill := range []string{"--quiet", "--group=web"} {
				if diff := cmp.Diff(plain, see(program, "--socket", socket, "run", bill, "--")); diff != "" {
					t.Errorf("run %s differs (-plain +run):\n%s", bill, diff)
				}
			}
		})
	}
}
