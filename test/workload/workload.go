// SPDX-License-Identifier: Apache-2.0

// Package workload builds and runs a C program that makes process trees and
// loads of known shape, and says in JSON what it made. It is written in C
// because it shall cost nothing of its own: a Go program has threads, and
// takes longer to start than the processes that the tests are about.
package workload

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"elsa/internal/kerneltest"
)

//go:embed src/workload.c
var source []byte

// flags make a program without a dynamic loader, whose work would be a large
// part of a short process.
var flags = []string{"-O2", "-static", "-pthread", "-Wall", "-Wextra", "-Werror", "-x", "c"}

// Compiler is a C compiler that can link statically.
var Compiler = kerneltest.Requirement{Name: "C compiler", Probe: func() error {
	_, err := Compile(context.Background())
	return err
}}

// Truth is what the program says of itself; see src/workload.c.
type Truth struct {
	Verb string `json:"verb"`
	// PID is the program's own, or the daemon's that doublefork leaves behind.
	PID int `json:"pid"`
	// Processes made, the program itself included.
	Processes int `json:"processes"`
	// Burned is the sum of what the processes burned by their own CPU clocks,
	// those that were left behind not included.
	Burned time.Duration `json:"burned_ns"`
	// Rusage is the program's CPU time and that of the children it waited
	// for, in microseconds.
	Rusage time.Duration `json:"rusage_ns"`
}

// Parse reads the line of JSON that a run printed.
func Parse(line []byte) (Truth, error) {
	var truth Truth
	if err := json.Unmarshal(line, &truth); err != nil {
		return Truth{}, fmt.Errorf("parse workload's report %.60q: %w", line, err)
	}
	return truth, nil
}

// Build returns the path of the program, compiled if it was not before. It
// skips t where there is no compiler; see kerneltest.Need.
func Build(t testing.TB) string {
	t.Helper()
	kerneltest.Need(t, Compiler)
	path, err := Compile(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Run runs a verb to its end and returns what it reported.
func Run(t testing.TB, args ...string) Truth {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), Build(t), args...).Output()
	if err != nil {
		t.Fatalf("workload %q: %v%s", args, err, stderr(err))
	}
	truth, err := Parse(out)
	if err != nil {
		t.Fatal(err)
	}
	return truth
}

// Compile compiles the program into the user's cache directory, under a name
// made of the source, and returns its path. Safe to call at once from many
// processes.
func Compile(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "elsa-test")
	path := filepath.Join(dir, fmt.Sprintf("workload-%.6x", sha256.Sum256(fmt.Append(source, flags))))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make workload: %w", err)
	}
	// A directory of its own, and a rename at the end: nobody ever sees half
	// a program.
	tmp, err := os.MkdirTemp(dir, "build")
	if err != nil {
		return "", fmt.Errorf("make workload: %w", err)
	}
	defer os.RemoveAll(tmp)
	in, out := filepath.Join(tmp, "workload.c"), filepath.Join(tmp, "workload")
	if err := os.WriteFile(in, source, 0o644); err != nil {
		return "", fmt.Errorf("make workload: %w", err)
	}
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "gcc"
	}
	if text, err := exec.CommandContext(ctx, cc, append(flags[:len(flags):len(flags)], "-o", out, in)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile workload (apt install gcc libc6-dev): %w\n%s", err, text)
	}
	if err := os.Rename(out, path); err != nil {
		return "", fmt.Errorf("make workload: %w", err)
	}
	return path, nil
}

func stderr(err error) string {
	if e, ok := err.(*exec.ExitError); ok {
		return ": " + string(e.Stderr)
	}
	return ""
}
