// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/google/go-cmp/cmp"

	"elsa/pkg/client"
	starts "elsa/pkg/clock"
	"elsa/pkg/proc"
)

// crowd is a machine of 4 CPUs with 300 groups, some with names of 128 characters, two
// seconds after another look.
func crowd(width, height int) *topModel {
	m := newTopModel(nil, 2*time.Second, 0)
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	report := func(at int) client.UsageReport {
		r := client.UsageReport{Time: day.Add(time.Duration(at) * time.Second), CPUs: 4}
		for i := range 300 {
			g := client.GroupUsage{Group: client.Group{ID: uint32(i + 1), Name: fmt.Sprintf("user/u%03d", i), Labels: map[string]string{"team": fmt.Sprint("t", i%7)}}}
			if i%3 == 0 {
				g.Name = fmt.Sprintf("pod/%s/%05d", strings.Repeat("0123456789abcdef", 8)[:128-10], i)
			}
			u := &g.Usage
			u.ProcessesLive, u.MaxRSSBytes = uint64(i), uint64(i)<<22
			if i%10 == 0 {
				used := float64(at) * float64(i) / 3000
				u.CPUSeconds, u.ReadBytes, u.WriteBytes = used, uint64(used*5e7), uint64(used*3e8)
				u.ProcessesStarted = uint64(at * i)
			}
			r.Groups = append(r.Groups, g)
			r.AnyGroup.CPUSeconds += u.CPUSeconds
			r.Total.CPUSeconds += u.CPUSeconds
			r.Total.ProcessesLive += u.ProcessesLive
		}
		r.Ungrouped = client.Usage{CPUSeconds: float64(at) * 1.5, ProcessesLive: 40}
		if at > 100 {
			r.Ungrouped.CPUSeconds += 40 // a daemon of a week ended
		}
		r.Total.CPUSeconds += r.Ungrouped.CPUSeconds
		r.Total.ProcessesLive += 40
		return r
	}
	m.Update(topUsage{report: report(100)})
	m.Update(topUsage{report: report(102)})
	return m
}

// family are processes that forked each other.
func family() topDetail {
	d := topDetail{group: "ci/build", at: day}
	for i, p := range []struct {
		pid, parent int
		args        string
	}{
		{100, 1, "sshd: runner"}, {200, 100, "make -j4 all"}, {300, 200, "cc1plus -quiet -O2 " + strings.Repeat("-I/usr/include/long/path ", 12) + "main.cc"},
		{301, 200, "as -o größe.o -"}, {400, 301, "sh -c evil\x1b[2J"}, {201, 100, "tail -f build.log"}, {999, 998, "nohup daemon"},
	} {
		name, _, _ := strings.Cut(p.args, " ")
		d.members = append(d.members, topMember{
			Member:  client.Member{PID: p.pid, PPID: p.parent, Command: name, Started: day.Add(-time.Duration(i) * 10 * time.Hour), CPUSeconds: float64(i) * 20},
			percent: float64(i * 15), local: topLocal{process: proc.Process{Start: starts.At(1, starts.Tick)}, rss: uint64(i) << 24, args: p.args},
		})
	}
	return d
}

func (m *topModel) press(keys ...string) {
	for _, k := range keys {
		text := k
		if len([]rune(k)) > 1 {
			text = ""
		}
		m.key(k, text)
	}
}

var attributes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// What is on the screen, at the sizes of a small and a large terminal.
func TestTopGolden(t *testing.T) {
	detail := func(m *topModel) {
		m.group, m.view = "ci/build", topView{by: "c"}
		m.Update(family())
	}
	for _, tc := range []struct {
		name string
		do   func(*topModel)
	}{
		{"groups", func(*topModel) {}},
		{"scrolled", func(m *topModel) { m.press("right", "right", "right", "right", "right", "right", "right") }},
		{"filtered", func(m *topModel) { m.press("/", "u", "2", "9", "enter", "end") }},
		{"busy", func(m *topModel) { m.press("i", "n") }},
		{"help", func(m *topModel) { m.press("?") }},
		{"processes", func(m *topModel) { detail(m); m.press("down") }},
		{"tree", func(m *topModel) { detail(m); m.press("v", "p", "end", "x", "k") }},
		{"arguments", func(m *topModel) {
			detail(m)
			m.press("m")
			for range len(m.memberColumns()) + 4 {
				m.press("right")
			}
		}},
		{"longname", func(m *topModel) {
			detail(m)
			m.group = "pod/" + strings.Repeat("0123456789abcdef", 8)[:124]
			d := family()
			d.group = m.group
			m.Update(d)
		}},
	} {
		for _, size := range [][2]int{{80, 24}, {200, 50}} {
			name := fmt.Sprintf("%s-%dx%d", tc.name, size[0], size[1])
			t.Run(name, func(t *testing.T) {
				m := crowd(size[0], size[1])
				tc.do(m)
				got := attributes.ReplaceAllString(m.screen(), "") + "\n"
				lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
				if len(lines) != size[1] {
					t.Errorf("%d lines of %d", len(lines), size[1])
				}
				for _, line := range lines {
					if n := len([]rune(line)); n > size[0] {
						t.Errorf("%d columns of %d: %q", n, size[0], line)
					}
				}
				file := filepath.Join("testdata", "screen", name+".txt")
				if *update {
					if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", file, diff)
				}
			})
		}
	}
}

// After any change of its size the screen is full, what is selected is in sight, and
// so are the sums where there is room.
func TestTopResize(t *testing.T) {
	m := crowd(80, 24)
	m.press("end", "up", "up") // the last group
	selected := m.cursor
	for _, size := range [][2]int{{12, 4}, {80, 24}, {40, 10}, {200, 50}, {1, 1}, {300, 400}, {80, 24}} {
		m.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
		screen := attributes.ReplaceAllString(m.screen(), "")
		lines := strings.Split(screen, "\n")
		if len(lines) > max(size[1], 2) {
			t.Errorf("%v: %d lines", size, len(lines))
		}
		if size[1] < 5 {
			continue
		}
		if m.cursor != selected || !strings.Contains(screen, "▌") {
			t.Errorf("%v: the selected group is not in sight:\n%s", size, screen)
		}
		empty := 0
		for _, line := range lines[:len(lines)-1] {
			if line == "" {
				empty++
			}
		}
		if size[1] < 300 && empty > 0 {
			t.Errorf("%v: %d lines are empty though there are groups above:\n%s", size, empty, screen)
		}
		if size[1] >= 12 && !(strings.Contains(screen, "\n (ungro") && strings.Contains(screen, "\n (total")) {
			t.Errorf("%v: what is in no group is not in sight:\n%s", size, screen)
		}
	}
}

// The other columns keep their place whatever names come and go.
func TestTopColumnsKeepTheirPlace(t *testing.T) {
	m := crowd(80, 24)
	head := func() string { return strings.Split(attributes.ReplaceAllString(m.screen(), ""), "\n")[2] }
	before := head()
	m.press("/", "u", "0", "0", "enter")
	if got := head(); got != before {
		t.Errorf("with short names alone:\n%s\n%s", before, got)
	}
	for _, column := range []string{"GROUP", "PROCS", "FORKS/S", "CPU %", "CPU TIME", "PEAK", "READ/S", "WRITTEN/S"} {
		if !strings.Contains(before, column) {
			t.Errorf("80 columns have no %s: %q", column, before)
		}
	}
}

// On a narrow screen the commands of processes are seen all the same.
func TestTopNarrow(t *testing.T) {
	m := crowd(40, 10)
	m.group, m.view = "ci/build", topView{by: "c"}
	m.Update(family())
	screen := attributes.ReplaceAllString(m.screen(), "")
	for line := range strings.Lines(screen) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 40 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	if !strings.Contains(screen, "nohup daemon") {
		t.Errorf("no command in:\n%s", screen)
	}
}

// Processes that name each other as parents are all in the tree, each once.
func TestTopTreeRing(t *testing.T) {
	var ms []topMember
	for i := range 2000 {
		ms = append(ms, topMember{Member: client.Member{PID: i + 1, PPID: i}})
	}
	ms[0].PPID = 2000
	ms = append(ms, topMember{Member: client.Member{PID: 5000, PPID: 5000}})
	seen := map[int]int{}
	for _, m := range sortMembers(ms, "p", false, true) {
		seen[m.PID]++
		if n := len([]rune(m.branch)); n > maxIndent+2 {
			t.Fatalf("process %d is drawn %d characters deep", m.PID, n)
		}
	}
	for pid, n := range seen {
		if n != 1 {
			t.Errorf("process %d is there %d times", pid, n)
		}
	}
	if len(seen) != 2001 {
		t.Errorf("%d processes of 2001", len(seen))
	}
}

// A signal reaches the process that was shown, and no other that has its pid.
func TestTopSignal(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill() })
	p, err := nearby().Process(int32(cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	shown := topMember{Member: client.Member{PID: cmd.Process.Pid, Started: p.Start.Boot().Wall(proc.Booted()).Time().Truncate(10 * time.Millisecond)}}
	shown.local.process = p
	if seen := lookAt(&shown.Member); seen.process.Start != p.Start || seen.rss == 0 {
		t.Errorf("looked at it: %+v, want its start %v", seen, p.Start)
	}
	other := shown
	other.Started = other.Started.Add(-time.Minute)
	if seen := lookAt(&other.Member); seen.process.Start.Known() {
		t.Errorf("a process of another start is taken for it: %+v", seen)
	}
	for name, m := range map[string]topMember{
		"another life": {Member: shown.Member, local: topLocal{process: proc.Process{Start: starts.At(p.Start.Boot().Add(-time.Minute), starts.Tick)}}},
		"not seen":     {Member: shown.Member},
	} {
		if err := m.signal(syscall.SIGKILL); err == nil {
			t.Errorf("%s: it was sent", name)
		}
	}
	select {
	case err := <-ended:
		t.Fatalf("it ended: %v", err)
	default:
	}
	if err := shown.signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil || err.Error() != "signal: terminated" {
		t.Errorf("it ended with %v", err)
	}
	if err := shown.signal(syscall.SIGTERM); err == nil || !strings.Contains(err.Error(), "it has ended") {
		t.Errorf("once it has ended: %v", err)
	}
}
