// SPDX-License-Identifier: Apache-2.0

package main

import (
	stdbytes "bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/kerneltest"
	"elsa/pkg/api"
	"elsa/pkg/client"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// busy is a service on which two seconds pass between two reports, in which
// every group does the same again.
type busy struct {
	*fake
	mu    sync.Mutex
	calls int
	fail  error
}

// doings are what the groups of busy do in two seconds.
var doings = []struct {
	name string
	live int
	usage.Usage
}{
	{"backup", 2, usage.Usage{usage.User: uint64(90 * time.Millisecond), usage.System: uint64(150 * time.Millisecond), usage.ReadBytes: 84 << 20, usage.WriteBytes: 79 << 20, usage.MaxRSS: 61 << 20}},
	{"ci/linux-arm64", 38, usage.Usage{usage.Started: 1730, usage.User: uint64(5430 * time.Millisecond), usage.System: uint64(1310 * time.Millisecond), usage.ReadBytes: 1 << 20, usage.WriteBytes: 17 << 20, usage.MaxRSS: 612 << 20}},
	{"ci/linux-amd64", 24, usage.Usage{usage.Started: 911, usage.User: uint64(3100 * time.Millisecond), usage.System: uint64(640 * time.Millisecond), usage.WriteBytes: 9 << 20, usage.MaxRSS: 588 << 20}},
	{"postgres", 31, usage.Usage{usage.Started: 3, usage.User: uint64(620 * time.Millisecond), usage.System: uint64(210 * time.Millisecond), usage.ReadBytes: 3 << 20, usage.WriteBytes: 12 << 20, usage.MaxRSS: 1843 << 20}},
	{"user/ana", 57, usage.Usage{usage.Started: 9, usage.User: uint64(380 * time.Millisecond), usage.System: uint64(60 * time.Millisecond), usage.MaxRSS: 2270 << 20}},
	{"user/ben", 12, usage.Usage{usage.MaxRSS: 190 << 20}},
	{"web", 9, usage.Usage{usage.Started: 14, usage.User: uint64(1180 * time.Millisecond), usage.System: uint64(440 * time.Millisecond), usage.WriteBytes: 300 << 10, usage.MaxRSS: 141 << 20}},
}

func (b *busy) Usage(context.Context, api.Caller, client.UsageQuery) (client.UsageReport, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return client.UsageReport{}, b.fail
	}
	b.calls++
	s := usage.Snapshot{Time: day.Add(9*time.Hour + time.Duration(2*b.calls)*time.Second)}
	for i, d := range doings {
		var u usage.Usage
		for range 500 + b.calls {
			u.Add(&d.Usage)
		}
		u[usage.Live] = uint64(d.live)
		s.Groups = append(s.Groups, usage.GroupTotal{Group: groups.Group{ID: uint32(i + 1), Name: d.name, Created: day}, Usage: u})
		s.AnyGroup.Add(&u)
	}
	s.Ungrouped = usage.Usage{usage.Live: 112, usage.Started: uint64(20 * b.calls), usage.User: uint64(time.Duration(b.calls) * 170 * time.Millisecond), usage.MaxRSS: 310 << 20}
	s.Total.Add(&s.AnyGroup)
	s.Total.Add(&s.Ungrouped)
	r, err := api.FromSnapshot(&s, nil, nil)
	r.CPUs = 8
	return r, err
}

func (b *busy) Group(ctx context.Context, who api.Caller, name string) (client.GroupDetail, error) {
	if name != "web" {
		return client.GroupDetail{}, api.Forbidden("group %s belongs to uid 0", name)
	}
	return b.fake.Group(ctx, who, name)
}

func (b *busy) Ungrouped(context.Context, api.Caller) (client.Ungrouped, error) {
	return client.Ungrouped{Members: []client.Member{{PID: 300, PPID: 1, Command: "cron", Started: day, CPUSeconds: 3, Groups: []string{}}}}, nil
}

func serveFake(t *testing.T, s api.Service) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := api.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	go api.Serve(t.Context(), l, s, slog.New(slog.DiscardHandler))
	return socket
}

// Tables come one after the other, sorted, with rates over the time between.
func TestTopBatch(t *testing.T) {
	t.Setenv("TZ", "UTC")
	socket := serveFake(t, &busy{fake: newFake()})
	var out, errs strings.Builder
	if status := run([]string{"--socket", socket, "top", "-n", "2", "-d", "0.1"}, &out, &errs); status != 0 {
		t.Fatalf("status %d: %s", status, errs.String())
	}
	table := `2026-03-04 09:00:04, within 2.000s
GROUP           PROCS  FORKS/S  CPU %  CPU TIME       PEAK    READ/S  WRITTEN/S
ci/linux-arm64     38      865  337.0  56m23.5s  612.0 MiB  512.0 KiB    8.5 MiB
ci/linux-amd64     24      456  187.0  31m17.5s  588.0 MiB       0 B    4.5 MiB
web                 9      7.0   81.0  13m33.2s  141.0 MiB       0 B  150.0 KiB
postgres           31      1.5   41.5   6m56.7s    1.8 GiB    1.5 MiB    6.0 MiB
user/ana           57      4.5   22.0   3m40.9s    2.2 GiB       0 B       0 B
backup              2        0   12.0   2m00.5s   61.0 MiB   42.0 MiB   39.5 MiB
user/ben           12        0    0.0    0.000s  190.0 MiB       0 B       0 B
(ungrouped)       112       10    8.5    0.340s  310.0 MiB       0 B       0 B
(total)           285     1344  689.0  1h54m      2.2 GiB   44.0 MiB   58.6 MiB
`
	spaces := regexp.MustCompile(` +`)
	first, second, _ := strings.Cut(out.String(), "\n\n")
	if diff := cmp.Diff(spaces.ReplaceAllString(table, " "), spaces.ReplaceAllString(first+"\n", " ")); diff != "" {
		t.Errorf("first table (-want +got):\n%s", diff)
	}
	if !strings.HasPrefix(second, "2026-03-04 09:00:06, within 2.000s\n") || strings.Count(second, "\n") != 11 {
		t.Errorf("second table:\n%s", second)
	}
	out.Reset()
	if status := run([]string{"--socket", socket, "top", "--once", "-d", "0.1", "--sort", "written", "-o", "csv"}, &out, &errs); status != 0 {
		t.Fatalf("status %d: %s", status, errs.String())
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 11 || !strings.HasPrefix(lines[0], "time,interval_seconds,scope,name,processes_live,") || !strings.Contains(lines[1], ",group,backup,2,0,12,") {
		t.Errorf("as CSV:\n%s", out.String())
	}
}

// What is new, or begins anew, has no negative rates.
func TestTopFrame(t *testing.T) {
	report := func(second int, us ...api.Usage) *client.UsageReport {
		r := &client.UsageReport{Time: day.Add(time.Duration(second) * time.Second)}
		for i, u := range us {
			r.Groups = append(r.Groups, client.GroupUsage{Group: client.Group{ID: uint32(i), Name: fmt.Sprint("g", i)}, Usage: u})
		}
		return r
	}
	a := client.Usage{CPUSeconds: 10, ReadBytes: 100, ProcessesStarted: 5}
	f := newFrame(report(0, a), report(4, client.Usage{CPUSeconds: 8, ReadBytes: 60, ProcessesStarted: 2}, a))
	want := []topRow{
		{Scope: "group", Name: "g0", CPUSeconds: 8, ProcessesStarted: 2},
		{Scope: "group", Name: "g1", CPUSeconds: 10, ProcessesStarted: 5, CPUPercent: 250, ReadsPerSecond: 25, Started: 1.25},
		{Scope: "ungrouped", Name: "(ungrouped)"}, {Scope: "total", Name: "(total)"},
	}
	if diff := cmp.Diff(want, f.Rows, cmp.AllowUnexported(topRow{})); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	for by, col := range topColumns {
		f.sort(by, false)
		if got := f.Rows[0].Name == "g0"; got != (col.name == "name" || col.name == "processes" || col.name == "memory" || col.name == "written") {
			t.Errorf("by %s, g0 first is %v", col.name, got)
		}
		f.sort(by, true)
		if last := f.Rows[3].Scope; last != "total" {
			t.Errorf("by %s, turned round: %s is last", col.name, last)
		}
	}
	two := report(4, api.Usage{CPUSeconds: 30})
	two.CPUs = 2
	if f := newFrame(report(0), two); f.Rows[0].CPUPercent != 200 {
		t.Errorf("%v %% of 2 CPUs", f.Rows[0].CPUPercent)
	}
	if f := newFrame(nil, report(4, a)); f.Rows[0].CPUPercent != 0 || f.Seconds != 0 {
		t.Errorf("the first frame has rates: %+v", f.Rows[0])
	}
}

// screen is a terminal made by tmux in which a command runs.
type screen struct {
	t    *testing.T
	sock string
}

var tmux = kerneltest.Program("tmux", "tmux")

func openScreen(t *testing.T, width, height int, command string) *screen {
	t.Helper()
	kerneltest.Need(t, tmux, kerneltest.PseudoTerminal)
	s := &screen{t: t, sock: filepath.Join(t.TempDir(), "tmux")}
	conf := filepath.Join(t.TempDir(), "conf")
	if err := os.WriteFile(conf, []byte("set -g status off\nset -s escape-time 0\nset -g default-terminal tmux-256color\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.tmux("-f", conf, "new-session", "-d", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height), command)
	t.Cleanup(func() { exec.Command("tmux", "-S", s.sock, "kill-server").Run() })
	return s
}

func (s *screen) tmux(args ...string) string {
	s.t.Helper()
	var out stdbytes.Buffer
	cmd := exec.Command("tmux", append([]string{"-S", s.sock}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TZ=UTC", "COLORTERM=", "GORACE=atexit_sleep_ms=0")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("tmux %v: %v: %s", args, err, out.String())
	}
	return out.String()
}

// press sends keys and waits until the screen shows every pattern.
func (s *screen) press(keys string, want ...string) (shown string) {
	s.t.Helper()
	if keys != "" {
		s.tmux("send-keys", keys)
	}
	var missing string
	s.t.Cleanup(func() {
		if missing != "" {
			s.t.Logf("after %q the screen never shows %q:\n%s", keys, missing, shown)
		}
	})
	kerneltest.Eventually(s.t, "the screen shows it", func() bool {
		shown, missing = s.tmux("capture-pane", "-p"), ""
		for _, w := range want {
			if !regexp.MustCompile(w).MatchString(shown) {
				missing = w
			}
		}
		return missing == ""
	})
	return shown
}

// On a terminal it shows the groups, sorts them, shows one in detail and ends
// with the terminal as it was.
func TestTopScreen(t *testing.T) {
	b := &busy{fake: newFake()}
	socket := serveFake(t, b)
	elsactl, err := exec.LookPath("elsactl")
	if err != nil {
		t.Fatal(err)
	}
	s := openScreen(t, 104, 16, fmt.Sprintf("%s --socket %s top -d 0.2; echo status $?; read end", elsactl, socket))
	s.press("", `(?s)every 200ms, by cpu.*7 groups, 285 live processes; groups use 680\.5 % of 8 CPUs.*GROUP +PROCS.*▌ci/linux-arm64 +38 +865 +337\.0.*\(total\) +285`)
	s.press("Down", `▌ci/linux-amd64`)
	s.press("End", `▌\(total\)`)
	s.press("Home", `▌ci/linux-arm64`)
	s.press("w", `(?s)by written.*backup.*▌ci/linux-arm64`)
	s.press("w", `(?s)user/ana.*backup`) // turned round
	s.press("n", `(?s)by name.*backup.*▌ci/linux-arm64.*web`)
	s.press("c", `(?s)by cpu.*▌ci/linux-arm64.*backup`)
	s.press("Enter", `group ci/linux-arm64: processes`, `belongs to uid 0`)
	s.press("Escape", `7 groups`)
	s.press("Down")
	s.press("Down", `▌web`)
	s.press("Enter", `group web: processes`, `2 live processes`, ` 17 +1 +0\.0 +0\.250s .*nginx`, `2 live processes, by cpu`, ` 4711 +17 .*evil\\x1b`)
	s.press("Tab", `group web: commands`, `(?m)^ ld +1 +2\.000s +1\.500s`)
	s.press("Escape", `▌web`)
	s.press("Space", `\[stopped\]`)
	s.press("Space", `09:\d\d:\d\d  every 200ms, by cpu\n`)
	s.press("+", `every 400ms`)
	s.press("-", `every 200ms`)

	// Help, filter, idle groups, processes in no group, a signal that is not sent.
	s.press("?", `elsactl top: keys`, `the tree of who forked whom`)
	s.press("Escape", `7 groups`)
	s.press("/", `/▏`)
	s.press("linux", `(?s)with "linux".*ci/linux-arm64.*ci/linux-amd64 [^/]*\(ungrouped\)`)
	s.press("Enter", `\? help`)
	s.press("Escape", `(?s)by cpu\n.*postgres`)
	if shown := s.press("i", `idle groups hidden`); strings.Contains(shown, "user/ben") || !strings.Contains(shown, "backup") {
		t.Errorf("idle groups hidden:\n%s", shown)
	}
	s.press("i", `user/ben`)
	s.press("End")
	s.press("Up", `▌\(ungrouped\)`)
	s.press("Enter", `processes in no group`, ` 300 .*cron`)
	s.press("x", `signal to 300 cron: t TERM`)
	s.press("t", `send SIGTERM to process 300 \(cron\)\?`)
	s.press("n", `no signal was sent`)
	s.press("Escape", `▌\(ungrouped\)`)

	// A smaller terminal scrolls to what is selected.
	s.tmux("resize-window", "-x", "60", "-y", "9")
	shown := s.press("End", `▌\(total\)`)
	if strings.Contains(shown, "ci/linux-arm64") || !strings.Contains(shown, "GROUP") {
		t.Errorf("a small screen does not scroll:\n%s", shown)
	}
	s.tmux("resize-window", "-x", "104", "-y", "16")
	s.press("", `(?s)ci/linux-arm64.*backup.*user/ben.*▌\(total\)`) // all of it is there again

	// elsad is away for a moment.
	b.mu.Lock()
	b.fail = api.Unavailable("not now")
	b.mu.Unlock()
	s.press("Home", `not now`, `▌ci/linux-arm64`)
	b.mu.Lock()
	b.fail = nil
	b.mu.Unlock()
	s.press("", `7 groups, 285 live processes`)
	picture(t, s)
	s.press("q", `(?m)^status 0$`)
}

// picture keeps what the screen shows for the README, with -update.
func picture(t *testing.T, s *screen) {
	const file = "../../docs/img/top.svg"
	svg := drawSVG(s.tmux("capture-pane", "-p", "-e", "-N"), 104, 16)
	if *update {
		if err := os.WriteFile(file, svg, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// The clock goes on, and all that adds up; the header does not.
	for _, want := range []string{"elsactl top", "CPU TIME", "ci/linux-arm64", "337.0"} {
		if !stdbytes.Contains(svg, []byte(want)) || !stdbytes.Contains(old, []byte(want)) {
			t.Errorf("the picture lacks %q; run go test ./cmd/elsactl -run TopScreen -update", want)
		}
	}
}

// Without elsad it ends at once and says why; without a terminal it says what
// to use instead.
func TestTopRefusals(t *testing.T) {
	elsactl, err := exec.LookPath("elsactl")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(elsactl, "--socket", serveFake(t, newFake()), "top").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "standard output is no terminal; use --once") {
		t.Errorf("no terminal: %v: %s", err, out)
	}
	s := openScreen(t, 200, 10, elsactl+" --socket /nonexistent/s top; echo status $?; read end")
	s.press("", `cannot reach elsad at /nonexistent/s`, `(?m)^status 1$`)
}
