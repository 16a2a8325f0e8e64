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

// An executable is known by its path also when its file was replaced.
func TestReplacedExecutable(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "7"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr/bin/python3 (deleted)", filepath.Join(dir, "7", "exe")); err != nil {
		t.Fatal(err)
	}
	if got := Look(proc.FS(dir), proc.Process{PID: 7}, Numbers{}, nil).Executable(); got != "/usr/bin/python3" {
		t.Errorf("executable is %q", got)
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

// TestArguments: the arguments of a process are one text, without the first; they are
// bounded like the environment, and a process without any has none.
func TestArguments(t *testing.T) {
	dir := t.TempDir()
	for pid, file := range map[string]string{
		"7": "python3\x00-O\x00a b.py\x00", "8": "sh\x00", "9": "", "10": "x\x00" + string(bytes.Repeat([]byte{'y'}, 8<<20)),
	} {
		if err := os.Mkdir(filepath.Join(dir, pid), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, pid, "cmdline"), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for pid, want := range map[int32]string{7: "-O a b.py", 8: "", 9: "", 11: ""} {
		if got := Look(proc.FS(dir), proc.Process{PID: pid}, Numbers{}, nil).Args(); got != want {
			t.Errorf("arguments of %d are %q, want %q", pid, got, want)
		}
	}
	var cut tally.Shared
	if got := Look(proc.FS(dir), proc.Process{PID: 10}, Numbers{}, &cut).Args(); len(got) != maxMemory-2 || cut.Count(tally.ProcessMemory) != 1 {
		t.Errorf("%d bytes of arguments, %d counted as cut", len(got), cut.Count(tally.ProcessMemory))
	}
}
