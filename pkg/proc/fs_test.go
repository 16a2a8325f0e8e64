// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/clock"
)

const fixture = FS("testdata/proc")

func name(s string) (comm [16]byte) {
	copy(comm[:], s)
	return comm
}

// recorded is what testdata/README says of the tree, and what the numbers of
// its stat files mean according to proc(5).
func recorded() []Process {
	const tick = 10 * time.Millisecond
	return []Process{{
		PID: 2, State: 'S', Threads: 1, Start: clock.At(240e6, clock.Tick), Comm: name("kthreadd"),
		System: tick,
	}, {
		PID: 20019, PPID: 19958, Group: 19903, Session: 4315, State: 'R', Threads: 1,
		Start: clock.At(1389.46e9, clock.Tick), Comm: name("a) b (c"), MinorFaults: 813, MajorFaults: 3,
	}, {
		PID: 20039, PPID: 19958, Group: 19903, Session: 4315, State: 'S', Threads: 1,
		Start: clock.At(1389.49e9, clock.Tick), Comm: name("x\ny) R 1 1"), MinorFaults: 812, System: tick,
	}, {
		PID: 20070, PPID: 19958, Group: 19903, Session: 4315, State: 'R', Threads: 1, UID: 65534,
		Start: clock.At(1389.53e9, clock.Tick), Comm: name("workload"), MinorFaults: 155, User: 59 * tick, System: 63 * tick,
	}, {
		PID: 20338, PPID: 19958, Group: 19903, Session: 4315, State: 'Z', Exiting: true, Threads: 4,
		Start: clock.At(1390.96e9, clock.Tick), Comm: name("workload"), MinorFaults: 42, User: 24 * tick, System: 35 * tick,
	}, {
		PID: 20361, PPID: 19958, Group: 19903, Session: 4315, State: 'Z', Exiting: true, Threads: 1,
		Start: clock.At(1391.56e9, clock.Tick), Comm: name("true"), MinorFaults: 50,
	}}
}

func TestSnapshot(t *testing.T) {
	want := recorded()
	for i := range want {
		want[i].UID = UnknownUID
	}
	// What is in the slice before is overwritten.
	got, err := fixture.Snapshot(make([]Process, 3))
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b Process) int { return int(a.PID - b.PID) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("snapshot (-want +got):\n%s", diff)
	}
	var dead []int32
	for _, p := range got {
		if p.Dead() {
			dead = append(dead, p.PID)
		}
	}
	if diff := cmp.Diff([]int32{20361}, dead); diff != "" {
		t.Errorf("dead processes (-want +got):\n%s", diff)
	}
}

func TestProcess(t *testing.T) {
	for _, want := range recorded() {
		got, err := fixture.Process(want.PID)
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("process %d (-want +got):\n%s", want.PID, diff)
		}
	}
	for _, pid := range []int32{-1, 0, 3} {
		got, err := fixture.Process(pid)
		if !errors.Is(err, fs.ErrNotExist) || got != (Process{}) {
			t.Errorf("Process(%d) = %+v, %v; want fs.ErrNotExist", pid, got, err)
		}
	}
}

func TestCommand(t *testing.T) {
	full := Process{Comm: name("sixteen_letters_")}
	for _, tt := range []struct {
		p    Process
		want string
	}{{Process{}, ""}, {Process{Comm: name("a b")}, "a b"}, {full, "sixteen_letters_"}} {
		if got := tt.p.Command(); got != tt.want {
			t.Errorf("Command() = %q, want %q", got, tt.want)
		}
	}
}

func TestThreads(t *testing.T) {
	got, err := fixture.Threads(20338)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	if diff := cmp.Diff([]int32{20338, 20339, 20340, 20341}, got); diff != "" {
		t.Errorf("threads (-want +got):\n%s", diff)
	}
	if got, err := fixture.Threads(3); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Threads(3) = %v, %v; want fs.ErrNotExist", got, err)
	}
}

func TestCommandLine(t *testing.T) {
	script := `import sys,os,time
open("/proc/self/comm","wb",buffering=0).write(os.fsencode(sys.argv[1]))
print(flush=True)
time.sleep(600)`
	for pid, want := range map[int32][]string{
		2:     nil,
		20019: {"/usr/bin/python3", "-c", script, "a) b (c"},
		20361: nil,
	} {
		got, err := fixture.CommandLine(pid)
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("command line of %d (-want +got):\n%s", pid, diff)
		}
	}
	if got, err := fixture.CommandLine(3); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("CommandLine(3) = %q, %v; want fs.ErrNotExist", got, err)
	}
}

func TestBootIDAndForks(t *testing.T) {
	if got, err := fixture.BootID(); err != nil || got != "26d59447-6c33-4b9f-9ea2-51c513c96172" {
		t.Errorf("BootID() = %q, %v", got, err)
	}
	if got, err := fixture.Forks(); err != nil || got != 52811 {
		t.Errorf("Forks() = %d, %v; want 52811", got, err)
	}
}

// TestBadTree reads trees that are no proc tree, or a damaged one.
func TestBadTree(t *testing.T) {
	missing := FS(filepath.Join(t.TempDir(), "none"))
	if got, err := missing.Snapshot(nil); err == nil || len(got) != 0 {
		t.Errorf("Snapshot of no tree = %v, %v; want an error", got, err)
	}
	if _, err := missing.BootID(); err == nil {
		t.Error("BootID of no tree: no error")
	}
	if _, err := missing.Forks(); err == nil {
		t.Error("Forks of no tree: no error")
	}

	root := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good, err := os.ReadFile("testdata/proc/20019/stat")
	if err != nil {
		t.Fatal(err)
	}
	write("20019/stat", string(good))
	write("self/stat", string(good))
	write("20020/cmdline", "died between the listing and the reading")
	write("99999999999/stat", string(good))
	write("stat", "cpu  1 2 3\n")
	write("sys/kernel/random/boot_id", "\n")
	r := FS(root)
	if got, err := r.Snapshot(nil); err != nil || len(got) != 1 {
		t.Errorf("Snapshot = %v, %v; want process 20019 alone", got, err)
	}
	if _, err := r.BootID(); !errors.Is(err, ErrFormat) {
		t.Errorf("empty BootID: %v, want ErrFormat", err)
	}
	if _, err := r.Forks(); !errors.Is(err, ErrFormat) {
		t.Errorf("Forks without the line: %v, want ErrFormat", err)
	}

	if err := os.MkdirAll(filepath.Join(root, "20022/task"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Threads(20022); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Threads of a process that died in the listing: %v, want fs.ErrNotExist", err)
	}

	write("20021/stat", "nonsense")
	got, err := r.Snapshot(nil)
	if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "20021") || len(got) != 1 {
		t.Errorf("Snapshot with nonsense = %v, %v; want process 20019 and an error naming 20021", got, err)
	}
}

// TestLongStatus reads a status file that is longer than any buffer at first.
func TestLongStatus(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "20019")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile("testdata/proc/20019/stat")
	if err != nil {
		t.Fatal(err)
	}
	status := "Name:\tx\nGroups:\t" + strings.Repeat("4294967294 ", 65536) + "\nTgid:\t20019\nUid:\t7\t8\t9\t10\nGid:\t7\t8\t9\t10\n"
	for file, text := range map[string]string{"stat": string(stat), "status": status} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if p, err := FS(root).Process(20019); err != nil || p.UID != 7 {
		t.Errorf("Process = %+v, %v; want real uid 7", p, err)
	}
}
