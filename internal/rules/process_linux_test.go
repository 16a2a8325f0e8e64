// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"elsa/internal/tally"
	"elsa/pkg/proc"
)

// What is read of a process: its arguments, and its executable also when that was
// replaced.
func TestProcessFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "7"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr/bin/python3 (deleted)", filepath.Join(dir, "7", "exe")); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"python3\x00-m\x00a b.py\x00": "-m a b.py", "python3\x00": "", "": "", "x\x00\x00y\x00": " y"} {
		if err := os.WriteFile(filepath.Join(dir, "7", "cmdline"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f := Look(proc.FS(dir), proc.Process{PID: 7}, Numbers{}, nil)
		if got := f.Arguments(); got != want {
			t.Errorf("arguments of %q are %q, want %q", text, got, want)
		}
		if got := f.Executable(); got != "/usr/bin/python3" {
			t.Errorf("executable is %q", got)
		}
	}
}

// TestEnvironmentIsBounded: an environment may be as large as its process wants; so
// much of it is read, once, and it is counted that there is more.
func TestEnvironmentIsBounded(t *testing.T) {
	dir := t.TempDir()
	env := []byte("CI=1\x00CIX=2\x00EMPTY=\x00")
	env = append(env, bytes.Repeat([]byte{0}, 8<<20)...)
	env = append(env, "LATE=1\x00"...)
	if err := os.Mkdir(filepath.Join(dir, "7"), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "7", "environ")
	if err := os.WriteFile(path, env, 0o600); err != nil {
		t.Fatal(err)
	}
	var cut tally.Shared
	f := Look(proc.FS(dir), proc.Process{PID: 7}, Numbers{}, &cut)
	for name, want := range map[string][]string{"CI": {"1"}, "CIX": {"2"}, "EMPTY": {""}, "C": nil, "LATE": nil} {
		if got := f.Env(name); len(got) != len(want) || len(got) == 1 && got[0] != want[0] {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if n := cut.Count(tally.ProcessMemory); n != 1 {
		t.Errorf("%d reads were counted as cut, want 1", n)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	Look(proc.FS(dir), proc.Process{PID: 7}, Numbers{}, nil).Env("LATE")
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("%d bytes allocated for an environment of 8 MiB", n)
	}
}
