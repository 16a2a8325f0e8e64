// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"crypto/sha256"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"elsa/internal/kerneltest"
	"elsa/internal/store"
	"elsa/pkg/usage"
)

// check runs elsad --check on a state directory.
func check(dir string) (said string, status int) {
	cmd := exec.Command(filepath.Join(bin, "elsad"), "--check", "--state-dir", dir)
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// Copies are taken while groups grow. Each is whole, agrees with itself, and
// has all that was on bills before it was taken and nothing of after.
func TestKernelBackup(t *testing.T) {
	needKernel(t)
	copies := 4
	if soak() {
		copies = 100
	}
	d := newDaemon(t, t.TempDir(), "--commit-interval", "100ms")
	d.start(small)
	l := d.load("proved", nil, "churn", "cbz", "2", "1000")
	total := func() uint64 { return groupOf(t, d.report(), "proved").Usage.ProcessesEnded }
	var lost, doubled uint64
	dir := t.TempDir()
	file := filepath.Join(dir, "elsa.db")
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	deaths := uint64(0)
	for range copies {
		low := total()
		d.ctl("backup", file)
		high := total()
		if said, status := check(dir); status != 0 || !strings.Contains(said, "ok") {
			t.Fatalf("--check of a backup: status %d: %s", status, said)
		}
		st := read(t, file)
		on := onBill(st, "proved")
		less, _ := differ(low, on)
		_, more := differ(max(high, on), on)
		if on > high {
			more = on - high
		}
		if lost, doubled, deaths = lost+less, doubled+more, on; less+more != 0 {
			t.Errorf("a backup has %d deaths; there were %d before and %d after", on, low, high)
		}
		var cpu time.Duration
		for i := range st.Sets {
			cpu += st.Sets[i].Usage.CPU()
		}
		// What was billed of the living, and what the open deaths' records may change.
		var living, open time.Duration
		for i := range st.Members {
			living += st.Members[i].Account.Base.CPU()
		}
		for i := range st.Deaths {
			open += (st.Deaths[i].Charged.CPU() - st.Deaths[i].Reported).Abs()
		}
		off := cpu - living - st.Meta.Reported
		if off.Abs() > st.Meta.Reported/100+open {
			t.Errorf("a backup's bills are %v with %v of the living, and %v that %d open records may change; the kernel reported %v: off by %v",
				cpu, living, open, len(st.Deaths), st.Meta.Reported, off)
		}
	}
	row(t, "elsactl backup under load", copies, deaths, lost, doubled, "each opened with --check; bills add up to what the kernel reported")

	// Not for everyone.
	theirs := t.TempDir()
	for dir, mode := range map[string]os.FileMode{bin: 0o755, d.dir: 0o755, filepath.Dir(d.dir): 0o755, filepath.Dir(theirs): 0o755, theirs: 0o777} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	cmd := d.command("backup", filepath.Join(theirs, "theirs"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "only root and members of unix group elsa") {
		t.Errorf("backup as nobody: %v: %s", err, out)
	}
	l.end()

	// A service on the copy goes on from it.
	d.stop()
	old := onBill(read(t, file), "proved")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.database(), data, 0o600); err != nil {
		t.Fatal(err)
	}
	d.start(small)
	if got := total(); got < old {
		t.Errorf("%d deaths on the bill of a service on a copy with %d", got, old)
	}
}

// read loads a database that nobody uses.
func read(t testing.TB, path string) *store.State {
	t.Helper()
	db, err := store.Open(path, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	st, err := db.Load()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// onBill counts the deaths on a group's bill.
func onBill(st *store.State, name string) (n uint64) {
	for _, g := range st.Groups {
		for i := range st.Sets {
			for _, id := range st.Sets[i].Groups {
				if g.Name == name && id == g.ID {
					n += st.Sets[i].Usage[usage.Ended]
				}
			}
		}
	}
	return n
}

// A database that is damaged, foreign or of a newer version is refused with one
// line that says what to do, by --check and by the service, and stays as it is.
func TestKernelDatabaseRefused(t *testing.T) {
	needKernel(t)
	d := newDaemon(t, t.TempDir())
	d.start()
	d.ctl("run", "-g", "a", "--quiet", "--", "true")
	d.report()
	d.stop()
	if said, status := check(d.state()); status != 0 || !strings.Contains(said, "1 groups") {
		t.Fatalf("--check of a good database: status %d: %s", status, said)
	}
	good, err := os.ReadFile(d.database())
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	for i, tt := range []struct {
		name  string
		spoil func(b []byte) []byte
		says  string
	}{
		{"foreign", func([]byte) []byte { return []byte(strings.Repeat("foreign\n", 4096)) }, "not a database, or damaged"},
		{"empty", func([]byte) []byte { return nil }, "it is empty; restore a backup or move"},
		{"cut", func(b []byte) []byte { return b[:page+100] }, "damaged"},
		{"both meta pages", func(b []byte) []byte { return overwrite(overwrite(b, 64), page+64) }, "not a database, or damaged"},
		{"newer schema", newer, "newer version"},
		{"value", spoilMeta, "a value is not what was written"},
		{"one meta page", func(b []byte) []byte { return overwrite(b, page+64) }, "page 1 is not what was written"},
		{"pages of zeros", func(b []byte) []byte { clear(b[2*page:]); return b }, "damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(d.database(), tt.spoil(append([]byte(nil), good...)), 0o600); err != nil {
				t.Fatal(err)
			}
			before := hash(t, d.database())
			said, status := check(d.state())
			if status != 1 || strings.Count(said, "\n") != 1 || !strings.Contains(said, tt.says) {
				t.Errorf("--check: status %d: %s; want 1 and a line with %q", status, said, tt.says)
			}
			d.launch()
			select {
			case <-d.exited:
			case <-time.After(kerneltest.Patience):
				d.kill()
				t.Error("the service runs on it")
			}
			if out := strings.TrimSpace(d.said()); d.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(out, tt.says) {
				t.Errorf("the service: %v: %s; want status 1 and %q", d.cmd.ProcessState, out, tt.says)
			}
			if after := hash(t, d.database()); after != before {
				t.Error("the file was changed")
			}
			t.Logf("%d: %s", i, strings.TrimSpace(said))
		})
	}
}

func overwrite(b []byte, at int) []byte { copy(b[at-48:], strings.Repeat("\xff", 48)); return b }

// edit changes a copy of a database by bbolt itself.
func edit(b []byte, f func(*bolt.Tx) error) []byte {
	dir, err := os.MkdirTemp("", "elsa-edit")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "db")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		panic(err)
	}
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		panic(err)
	}
	if err := db.Update(f); err != nil {
		panic(err)
	}
	db.Close()
	b, err = os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return b
}

func newer(b []byte) []byte {
	return edit(b, func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte{250})
	})
}

func spoilMeta(b []byte) []byte {
	return edit(b, func(tx *bolt.Tx) error {
		half, _ := json.Marshal("half")
		return tx.Bucket([]byte("meta")).Put([]byte("state"), half[:3])
	})
}

func hash(t testing.TB, path string) [32]byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}
