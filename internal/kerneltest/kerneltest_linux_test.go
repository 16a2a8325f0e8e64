// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { Main(m, nil) }

// verdict records what Need decided, in place of a real test.
type verdict struct {
	testing.TB
	said string
}

func (v *verdict) Helper()      {}
func (v *verdict) Name() string { return "TestIt" }
func (v *verdict) Skipf(format string, args ...any) {
	v.said = "skip"
	panic(v)
}
func (v *verdict) Fatalf(format string, args ...any) {
	v.said = "fail"
	panic(v)
}

func TestNeed(t *testing.T) {
	has := Requirement{Name: "this", Probe: func() error { return nil }}
	lacks := Requirement{Name: "that", Probe: func() error { return errors.New("it is not there") }}
	unpatched := patched(lacks)
	for _, tt := range []struct {
		name, env, want string
		needs           []Requirement
	}{
		{"nothing needed", "", "run", nil},
		{"all there", "", "run", []Requirement{has, has}},
		{"one missing", "", "skip", []Requirement{has, lacks}},
		{"one missing, required", "require", "fail", []Requirement{has, lacks}},
		{"one missing, all required", "patched", "fail", []Requirement{has, lacks}},
		{"no patch", "", "skip", []Requirement{has, unpatched}},
		{"no patch, required of a stock kernel", "require", "skip", []Requirement{has, unpatched}},
		{"no patch, all required", "patched", "fail", []Requirement{has, unpatched}},
		{"all there, required", "require", "run", []Requirement{has}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("ELSA_KERNEL", tt.env)
			skipped := filepath.Join(t.TempDir(), "skipped")
			t.Setenv("ELSA_SKIPPED", skipped)
			v := &verdict{said: "run"}
			func() {
				defer func() {
					if r := recover(); r != nil && r != v {
						panic(r)
					}
				}()
				Need(v, tt.needs...)
			}()
			if v.said != tt.want {
				t.Errorf("verdict %q, want %q", v.said, tt.want)
			}
			told, _ := os.ReadFile(skipped)
			if want := "TestIt needs that: it is not there\n"; (string(told) == want) != (tt.want == "skip") {
				t.Errorf("%s is noted as skipped: %q", tt.want, told)
			}
		})
	}
}

func TestSpawn(t *testing.T) {
	if got := Spawn(t, "exit", "7").Wait().ExitCode(); got != 7 {
		t.Errorf("exit 7: status %d", got)
	}
	c := Spawn(t, "wait")
	if err := unix.Kill(c.PID, 0); err != nil {
		t.Errorf("a waiting child is not there: %v", err)
	}
	c.Release()
	if got := c.Wait().ExitCode(); got != 0 {
		t.Errorf("wait: status %d", got)
	}
	s := Spawn(t, "storm", "20")
	if pids := s.Pids(); len(pids) != 20 {
		t.Errorf("storm of 20 made %d: %v", len(pids), pids)
	}
	b := Spawn(t, "burn", "50ms").Wait()
	if used := b.UserTime() + b.SystemTime(); used < 50*time.Millisecond {
		t.Errorf("burn 50ms used %v", used)
	}
}

func TestKernelLockAccounting(t *testing.T) {
	Need(t, Root, InitNamespaces, BSDAcct)
	pacct := filepath.Join(t.TempDir(), "pacct")
	if err := os.WriteFile(pacct, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(pacct) // as a service has it
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	size := func() int64 {
		if _, err := Fork(); err != nil {
			t.Fatal(err)
		}
		fi, err := os.Stat(pacct)
		if err != nil {
			t.Fatal(err)
		}
		return fi.Size()
	}
	t.Run("held", func(t *testing.T) {
		LockAccounting(t)
		if err := unix.Acct(pacct); err != nil {
			t.Fatal(err)
		}
		if size() == 0 {
			t.Fatal("accounting is on and a death wrote nothing")
		}
		owner, err := foreignAccounting()
		if err != nil || !strings.Contains(owner, pacct) {
			t.Errorf("foreignAccounting() = %q, %v; want the file %s", owner, err, pacct)
		}
		// Another test that wants it is skipped, and touches nothing.
		t.Setenv("ELSA_KERNEL", "")
		t.Setenv("ELSA_SKIPPED", "")
		v := &verdict{said: "run"}
		func() {
			defer func() { recover() }()
			Need(v, ownAccounting)
		}()
		if v.said != "skip" {
			t.Errorf("with accounting on: verdict %q, want skip", v.said)
		}
		if before := size(); size() == before {
			t.Error("accounting is off after a test was refused")
		}
	})
	after := size()
	if again := size(); again != after {
		t.Errorf("accounting still on after the test that held the lock: %d, then %d bytes", after, again)
	}
}
