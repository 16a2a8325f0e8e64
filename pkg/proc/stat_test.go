// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/clock"
)

func TestParseStat(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		want       Process
	}{
		{"every field in its place", "3 (x) S 4 5 6 7 -1 8 9 10 11 12 13 14 15 16 17 -18 19 0 20 21\n", Process{
			PID: 3, State: 'S', PPID: 4, Group: 5, Session: 6, MinorFaults: 9, MajorFaults: 11,
			User: 130 * time.Millisecond, System: 140 * time.Millisecond, Threads: 19, Start: clock.At(200e6, clock.Tick),
			UID: UnknownUID, Comm: name("x"),
		}},
		{"no name", "3 () R 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0 0", Process{
			PID: 3, State: 'R', Threads: 1, Start: clock.At(0, clock.Tick), UID: UnknownUID,
		}},
		{"a name like the fields", "3 (3 (x) S 4) R 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0 0", Process{
			PID: 3, State: 'R', Threads: 1, Start: clock.At(0, clock.Tick), UID: UnknownUID, Comm: name("3 (x) S 4"),
		}},
		{"a kernel thread's long name", "3 (kworker/u8:3-events_unbound) I 2 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 7 0", Process{
			PID: 3, State: 'I', PPID: 2, Threads: 1, UID: UnknownUID, Comm: name("kworker/u8:3-ev"), Start: clock.At(70e6, clock.Tick),
		}},
		{"more faults than ticks could be", "3 (x) R 0 0 0 0 0 0 4611686018427387904 0 0 0 0 0 0 0 0 0 1 0 0 0", Process{
			PID: 3, State: 'R', Threads: 1, Start: clock.At(0, clock.Tick), UID: UnknownUID, Comm: name("x"), MinorFaults: 1 << 62,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got Process
			if err := parseStat([]byte(tt.line), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseStatRefuses(t *testing.T) {
	const ok = "3 (x) S 4 5 6 7 -1 8 9 10 11 12 13 14 15 16 17 -18 19 0 20"
	replace := func(old, new string) string { return string(bytes.Replace([]byte(ok), []byte(old), []byte(new), 1)) }
	lines := map[string]string{
		"no pid":          replace("3 (", "("),
		"pid zero":        replace("3 (", "0 ("),
		"pid negative":    replace("3 (", "-3 ("),
		"pid too large":   replace("3 (", "2147483648 ("),
		"no parenthesis":  replace("(", ""),
		"no end":          replace(")", ""),
		"wrong order":     replace("(x)", ")x("),
		"no state":        replace("S ", ""),
		"ppid too large":  replace(" 4 ", " 2147483648 "),
		"hexadecimal":     replace(" 13 ", " 0x13 "),
		"two spaces":      replace(" 13 ", "  13 "),
		"negative utime":  replace(" 13 ", " -13 "),
		"overflow":        replace(" 13 ", " 99999999999999999999 "),
		"start too large": replace(" 20", " 922337203685477581"),
		"negative faults": replace(" 9 ", " -9 "),
	}
	for i := range len(ok) - len("20") {
		lines[fmt.Sprintf("cut at %d", i)] = ok[:i]
	}
	for name, line := range lines {
		p := Process{PID: 1}
		if err := parseStat([]byte(line), &p); !errors.Is(err, ErrFormat) || p != (Process{}) {
			t.Errorf("%s: %q gave %+v, %v; want ErrFormat", name, line, p, err)
		}
	}
}

func TestNumber(t *testing.T) {
	const text = "Name:\tUid:\nnovalue\nUid:\t1000\t1001\nVmHWM:\t    1808 kB\nEmpty:\nBad:\tx\n"
	for key, want := range map[string]uint64{"Uid": 1000, "VmHWM": 1808} {
		if got, err := number([]byte(text), key); err != nil || got != want {
			t.Errorf("number(%q) = %d, %v; want %d", key, got, err, want)
		}
	}
	for _, key := range []string{"Empty", "Bad", "Missing", "Vm", "novalue", ""} {
		if got, err := number([]byte(text), key); !errors.Is(err, ErrFormat) {
			t.Errorf("number(%q) = %d, %v; want ErrFormat", key, got, err)
		}
	}
}

// FuzzStat holds parseStat to a law: what it takes, printed again with all
// other fields zero, is taken as the same; what it refuses leaves nothing.
func FuzzStat(f *testing.F) {
	lines, err := filepath.Glob("testdata/proc/*/stat")
	if err != nil || len(lines) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, path := range lines {
		line, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var p, again Process
		if err := parseStat(line, &p); err != nil {
			if p != (Process{}) {
				t.Fatalf("refused %q and left %+v", line, p)
			}
			return
		}
		flags := 0
		if p.Exiting {
			flags = exiting
		}
		// Padding is no part of a name.
		comm := bytes.TrimRight(p.Comm[:], "\x00")
		printed := fmt.Appendf(nil, "%d (%s) %s %d %d %d 0 0 %d %d 0 %d 0 %d %d 0 0 0 0 %d 0 %d", p.PID, comm,
			[]byte{p.State}, p.PPID, p.Group, p.Session, flags, p.MinorFaults, p.MajorFaults,
			p.User/tick, p.System/tick, p.Threads, p.Start.Boot()/clock.Boot(tick))
		if err := parseStat(printed, &again); err != nil || again != p {
			t.Fatalf("%q gave %+v; %q gives %+v, %v", line, p, printed, again, err)
		}
	})
}

// FuzzStatus holds the readers of status and io to two laws: they never panic,
// and io is all or nothing.
func FuzzStatus(f *testing.F) {
	for _, pattern := range []string{"testdata/proc/*/status", "testdata/proc/*/task/*/io"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatalf("no seeds %s: %v", pattern, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, key := range []string{"Tgid", "VmHWM", "Uid"} {
			if n, err := number(text, key); err != nil && n != 0 {
				t.Fatalf("number(%q, %q) = %d, %v", text, key, n, err)
			}
		}
		var s ioCounts
		if err := parseIO(text, &s); err != nil && s != (ioCounts{}) {
			t.Fatalf("parseIO(%q) = %v and left %+v", text, err, s)
		}
	})
}
