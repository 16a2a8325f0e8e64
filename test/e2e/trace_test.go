// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"elsa/internal/kerneltest"
	"elsa/test/traceevent"
)

// project writes a program in C of so many files, with a Makefile.
func project(t *testing.T, files int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	objects, calls, declared := "", "", ""
	for i := range files {
		write(fmt.Sprintf("part%d.c", i), fmt.Sprintf("#include <stdio.h>\n#include <stdlib.h>\nint part%d(int n) { return printf(\"%%d\\n\", n + %d); }\n", i, i))
		objects += fmt.Sprintf(" part%d.o", i)
		calls += fmt.Sprintf(" part%d(%d);", i, i)
		declared += fmt.Sprintf("int part%d(int);\n", i)
	}
	write("main.c", declared+"int main(void) {"+calls+" return 0; }\n")
	write("Makefile", "check: program\n\t./program > out && grep -q 0 out\nprogram: main.o"+objects+"\n\t$(CC) -o $@ $^\n")
	return dir
}

// The trace of a parallel build keeps the rules of its format, has each process of the
// bill once, and shows what was compiled at the same time beside each other.
func TestKernelTrace(t *testing.T) {
	needKernel(t)
	kerneltest.Need(t, kerneltest.Program("make", "make"), kerneltest.Program("cc", "gcc"))
	archive, dir := t.TempDir(), project(t, 6)
	d := start(t, "--journal", "on", "--archive-dir", archive)
	d.ctl("run", "-g", "build", "--quiet", "--", "make", "-j4", "-C", dir)
	bill := d.usage("build").Usage
	var trace *traceevent.Trace
	slices := 0
	kerneltest.Eventually(t, "a trace of the whole build", func() bool {
		text := d.ctl("processes", "--group", "build", "--format", "trace", "--archive-dir", archive)
		var err error
		if trace, err = traceevent.Check([]byte(text)); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		slices = 0
		for _, e := range trace.Events {
			if e.Ph == "X" {
				slices++
			}
		}
		return uint64(slices) >= bill.ProcessesEnded
	})
	cpu, most, makes, tracks := 0.0, 0.0, 0, map[int]bool{}
	var compilers []traceevent.Event
	for _, e := range trace.Events {
		switch {
		case e.Ph == "C" && e.Name == "live processes":
			most = max(most, e.Args["processes"].(float64))
		case e.Ph == "X":
			cpu += (e.Args["cpu_user_ns"].(float64) + e.Args["cpu_system_ns"].(float64)) / 1e9
			tracks[e.TID] = true
			switch {
			case e.Name == "make":
				makes++
			case strings.HasPrefix(e.Name, "cc1"):
				compilers = append(compilers, e)
			}
		}
	}
	if uint64(slices) != bill.ProcessesEnded || math.Abs(cpu-bill.CPUSeconds) > 1e-6 || trace.Other["left_out"] != "0" {
		t.Errorf("%d slices of %v s CPU, %v; the bill has %d of %v s", slices, cpu, trace.Other, bill.ProcessesEnded, bill.CPUSeconds)
	}
	if most < 4 || len(tracks) < 2 || makes == 0 || len(compilers) != 7 {
		t.Errorf("%v lived at a time, on %d tracks; %d of make, %d compilers", most, len(tracks), makes, len(compilers))
	}
	beside := false
	for i, a := range compilers {
		for _, b := range compilers[:i] {
			a0, _ := a.Start()
			al, _ := a.Length()
			b0, _ := b.Start()
			bl, _ := b.Length()
			beside = beside || a0 < b0+bl && b0 < a0+al && a.TID != b.TID
		}
	}
	if !beside {
		t.Error("no two compilers are beside each other")
	}
	t.Logf("%d slices on %d tracks, %d events", slices, len(tracks), len(trace.Events))
}
