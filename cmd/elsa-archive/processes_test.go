// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/archive"
	"elsa/internal/chdb"
	"elsa/internal/journal"
	"elsa/internal/kerneltest"
	"elsa/pkg/usage"
)

// TestShipProcesses: with stream: processes the sealed files go, too, as they are,
// and one that is cut off is sent again. elsactl processes has of them what it has here.
func TestShipProcesses(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root)
	bin, to := programs(t), t.TempDir()
	ship, dir := shipProcesses(t, to, "")
	sameProcesses(t, bin, dir, to)
	files, err := archive.Files(dir)
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	sent, _ := filepath.Glob(filepath.Join(to, "processes/day=*/source=*/*.parquet"))
	if len(sent) != 2 {
		t.Fatalf("sent: %v", sent)
	}
	for i, path := range sent {
		a, _ := os.ReadFile(path)
		b, _ := os.ReadFile(files[i].Path)
		if !bytes.Equal(a, b) || len(a) == 0 {
			t.Errorf("%s is not %s", path, files[i].Path)
		}
	}
	if err := os.Truncate(sent[1], 100); err != nil {
		t.Fatal(err)
	}
	if out := ship(); !strings.HasPrefix(out, "0 hours changed, 1 files sent, 1 of them again") {
		t.Error(out)
	}
	if status, out, text := runArchive(t, "fleet", "status", "--read", "--from", to); status != 0 || !strings.Contains(out, `"state":"complete"`) {
		t.Error(out, text)
	}
	if again, _ := filepath.Glob(filepath.Join(to, "processes/day=*/source=*/*.parquet")); len(again) != 2 {
		t.Errorf("there are %v", again)
	}
	metrics := filepath.Join(t.TempDir(), "elsa.prom")
	ship("--textfile", metrics)
	for _, want := range []string{"elsa_ship_success 1", "elsa_ship_waiting_files 0", "elsa_ship_behind_seconds 0.", "elsa_ship_lost_files_total 0"} {
		if b, _ := os.ReadFile(metrics); !strings.Contains(string(b), "\n"+want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
	os.Remove(sent[0])
	if status, _, text := runArchive(t, "query", "--from", to); status != 1 || !strings.Contains(text, "is not there") {
		t.Errorf("a file is gone: %d %s", status, text)
	}
}

// TestShipHidden: what is hidden is not in the files that leave the host.
func TestShipHidden(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root)
	to := t.TempDir()
	shipProcesses(t, to, ", hide: [command, user]")
	status, out, text := runArchive(t, "query", "--from", to, "--query", `{"by":["command","user"],"format":"csv"}`)
	if lines := strings.Split(strings.TrimSpace(out), "\n"); status != 0 || len(lines) != 2 || !strings.HasPrefix(lines[1], "(hidden),(hidden),") {
		t.Errorf("%d %s%s", status, out, text)
	}
}

// engineProcesses: rows of tables are what the files are, also after they were lost.
func engineProcesses(t *testing.T, bin string, server *chdb.Server) {
	database := server.Database(t)
	to := server.Address("elsa", database)
	ship, dir := shipProcesses(t, to, "")
	sameProcesses(t, bin, dir, to)
	server.Run(t, "DELETE FROM "+database+".processes WHERE seq % 10 = 3")
	if status, _, text := runArchive(t, "fleet", "status", "--read", "--from", to); status != 1 || !strings.Contains(text, "were sent") {
		t.Errorf("rows are gone: %d %s", status, text)
	}
	if out := ship(); !strings.HasPrefix(out, "0 hours changed, 2 files sent, 2 of them again") {
		t.Error(out)
	}
	if status, out, text := runArchive(t, "fleet", "status", "--read", "--from", to); status != 0 || !strings.Contains(out, `"state":"complete"`) {
		t.Error(out, text)
	}
	sameProcesses(t, bin, dir, to)
}

// sameProcesses compares what elsactl processes has of an archive with what it has of a
// place.
func sameProcesses(t *testing.T, bin, dir, from string) {
	t.Helper()
	for _, args := range [][]string{
		{"-o", "json"}, {"-o", "csv", "--group", "ci"}, {"--by", "command,user", "-o", "csv"}, {"--by", "group,host,exit", "-o", "csv"}, {"--exit", "signal", "-o", "csv"},
		{"--sort", "cpu", "--top", "7", "-o", "csv"}, {"--user", "1000", "-o", "json"}, {"--user", "user1001", "--command", "as", "-o", "json"},
		{"--until", "2026-11-28T23:05:00Z", "-o", "csv"}, {"--since", "2026-11-28T23:05:00Z", "--command", "gcc"},
	} {
		run := func(where ...string) string {
			t.Helper()
			cmd := exec.Command(filepath.Join(bin, "elsactl"), append(append([]string{"processes"}, args...), where...)...)
			cmd.Env = append(os.Environ(), "TZ=UTC")
			var text bytes.Buffer
			cmd.Stderr = &text
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%q: %v: %s", cmd.Args, err, text.String())
			}
			return string(out)
		}
		if diff := cmp.Diff(run("--archive-dir", dir), run("--from", from)); diff != "" {
			t.Errorf("%q (-here +there):\n%.2000s", args, diff)
		}
	}
}

// shipProcesses delivers an archive once, and returns what does so again.
func shipProcesses(t *testing.T, to, more string) (ship func(...string) string, dir string) {
	t.Helper()
	m := newMachine(t, 1)
	dir = longArchive(t)
	if done, err := archive.Seal(dir); err != nil || done.Files != 2 {
		t.Fatal(done, err)
	}
	if err := os.RemoveAll(filepath.Join(dir, journal.Subdir)); err != nil { // what is not sealed is not sent
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, journal.Subdir), 0o750); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "elsa.yaml")
	if err := os.WriteFile(config, []byte("ship: {to: '"+to+"', stream: processes"+more+"}"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.bill(t, 1, usage.HourOf(time.Now().Unix()))
	ship = func(more ...string) string {
		t.Helper()
		status, out, text := runArchive(t, append([]string{"ship", "--once", "--config", config, "--archive-dir", dir, "--elsad-socket", m.socket}, more...)...)
		if status != 0 {
			t.Fatal(out, text)
		}
		return out
	}
	if out := ship(); !strings.HasPrefix(out, "1 hours changed, 3 files sent, 0 of them again; 0 wait; 0 were dropped") {
		t.Error(out)
	}
	return ship, dir
}

// longArchive has 400 processes on two days, of all kinds, and then one that is not sealed.
func longArchive(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, journal.Subdir), 0o750); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 28, 23, 0, 0, 0, time.UTC)
	j, err := journal.Open(journal.Options{Dir: filepath.Join(dir, journal.Subdir), Source: [16]byte{5}, Host: "node1", MaxAge: 10 * time.Hour, MaxBytes: 1 << 20}, journal.Position{}, 1, at)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	groups := []*journal.Groups{{Names: []string{"ci"}}, {Names: []string{"build/17", "ci"}}, {}, {Unattributed: true}, {Names: []string{"it's \\"}}}
	for i := range 400 {
		end := at.Add(time.Duration(i) * 10 * time.Second)
		r := journal.Row{Seq: uint64(i + 1), PID: int32(100 + i), PPID: int32(i % 3), Start: end.Add(-time.Second).UnixNano(), End: end.UnixNano() + int64(i), ParentStart: int64(i % 2),
			Groups: groups[i%5], UID: uint32(1000 + i%3), GID: 100, User: []string{"user1000", "user1001", ""}[i%3], Exited: i%7 > 0, Precision: journal.Exact,
			Status: uint32([]int{0, 1 << 8, 9}[i%3]), Inferred: i%11 == 0}
		copy(r.Comm[:], []string{"cc1", "as", "gcc", "sh -c \xff'"}[i%4])
		for f := range r.Measure {
			r.Measure[f] = uint64(i * (int(f) + 1))
		}
		if i%7 == 0 {
			r.Part, r.Precision = 1, journal.Partial
		}
		j.Row(&r)
	}
	j.Settled(400)
	j.Flush(at.Add(11 * time.Hour))
	j.Committed()
	j.Row(&journal.Row{Seq: 401, PID: 9, Groups: groups[0], Start: at.UnixNano(), End: at.Add(11 * time.Hour).UnixNano()})
	j.Flush(at.Add(22 * time.Hour))
	j.Committed()
	if j.Err() != nil {
		t.Fatal(j.Err())
	}
	return dir
}
