// SPDX-License-Identifier: Apache-2.0

package acct

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// unhex reads hex digits; blanks, newlines and what follows a # are ignored.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(s) {
		line, _, _ = strings.Cut(line, "#")
		for _, f := range strings.Fields(line) {
			digits.WriteString(f)
		}
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func comm(s string) (c [16]byte) {
	copy(c[:], s)
	return c
}

// handmade are lines laid out by hand after include/uapi/linux/acct.h, one of
// each version, with what they say.
var handmade = []struct {
	name  string
	lines string
	want  Record
}{
	{"v0", `
		09 00            # ac_flag AFORK|ACORE; padding
		e803 6400        # ac_uid 1000, ac_gid 100
		0388             # ac_tty
		80f3 1d3e        # ac_btime 1042150272, January 2003
		0200 0300 ff1f   # ac_utime 2, ac_stime 3, ac_etime 8191 ticks of 10 ms
		1000 0000 0000   # ac_mem, ac_io, ac_rw
		0120 0500 0000   # ac_minflt 1<<3, ac_majflt 5, ac_swaps
		0000             # padding before ac_exitcode
		8b00 0000        # ac_exitcode: SIGSEGV, core dumped
		6d61 6b65 0000 0000 0000 0000 0000 0000 00 # ac_comm make
		0000 0000 0000 0000 0000 # ac_pad
		00               # padding`,
		Record{
			Source: BSD, Whole: true, Flags: FlagFork | FlagCore, UID: 1000, GID: 100, ExitCode: 0x8b, Comm: comm("make"), Begin: 1042150272,
			User: 20 * time.Millisecond, System: 30 * time.Millisecond, CPU: 50 * time.Millisecond, Elapsed: 81910 * time.Millisecond,
			MinorFaults: 8, MajorFaults: 5,
		}},
	{"v1 big-endian, 62 bytes", `
		00 81            # ac_flag; version 1, big-endian
		0001 0002        # ac_uid16, ac_gid16
		0000             # ac_tty
		3e1d f380        # ac_btime 1042150272
		000a 0014 0000   # ac_utime 10, ac_stime 20, ac_etime unused
		0010 0000 0000   # ac_mem, ac_io, ac_rw
		000c 0000 0000   # ac_minflt 12, ac_majflt, ac_swaps
		0000 0700        # ac_exitcode: status 7
		7368 0000 0000 0000 0000 0000 0000 0000 00 # ac_comm sh
		10 0001          # ac_etime_hi, _lo: exponent 2: (1<<19 + 1) << 1
		0001 0001        # ac_uid 65537
		0000 0002        # ac_gid`,
		Record{
			Source: BSD, Whole: true, UID: 65537, GID: 2, ExitCode: 0x700, Comm: comm("sh"), Begin: 1042150272,
			User: 100 * time.Millisecond, System: 200 * time.Millisecond, CPU: 300 * time.Millisecond, Elapsed: 1048578 * 10 * time.Millisecond,
			MinorFaults: 12,
		}},
	{"v2", `
		02 02            # ac_flag ASU; version 2
		ffff ffff        # ac_uid16, ac_gid16: too small for these
		0000             # ac_tty
		80f3 1d3e        # ac_btime
		0004 0008 ff1f   # ac_utime 1024, ac_stime 2048 at 1024 Hz; ac_etime
		1000 0000 0000   # ac_mem, ac_io, ac_rw
		ffff 0200 0000   # ac_minflt: the largest number; ac_majflt 2; ac_swaps
		0004             # ac_ahz 1024
		0900 0000        # ac_exitcode: SIGKILL
		6162 6364 6566 6768 696a 6b6c 6d6e 6f00 00 # ac_comm, 15 letters
		00 0028          # ac_etime_hi, _lo: 10240 ticks, 10 s
		a086 0100        # ac_uid 100000
		a186 0100        # ac_gid 100001`,
		Record{
			Source: BSD, Whole: true, Flags: FlagSU, UID: 100000, GID: 100001, ExitCode: 9, Comm: comm("abcdefghijklmno"), Begin: 1042150272,
			User: time.Second, System: 2 * time.Second, CPU: 3 * time.Second, Elapsed: 10 * time.Second,
			MinorFaults: 17_177_772_032, MajorFaults: 2,
		}},
	{"v2 big-endian", `
		00 82            # ac_flag; version 2, big-endian
		0000 0000        # ac_uid16, ac_gid16
		0000             # ac_tty
		3e1d f380        # ac_btime
		0001 0002 0003   # ac_utime, ac_stime, ac_etime
		0010 0000 0000   # ac_mem, ac_io, ac_rw
		0007 0000 0000   # ac_minflt, ac_majflt, ac_swaps
		0064             # ac_ahz 100
		0000 0000        # ac_exitcode
		6c73 0000 0000 0000 0000 0000 0000 0000 00 # ac_comm ls
		00 0003          # ac_etime_hi, _lo
		0000 03e8        # ac_uid 1000
		0000 0064        # ac_gid 100`,
		Record{
			Source: BSD, Whole: true, UID: 1000, GID: 100, Comm: comm("ls"), Begin: 1042150272,
			User: 10 * time.Millisecond, System: 20 * time.Millisecond, CPU: 30 * time.Millisecond, Elapsed: 30 * time.Millisecond,
			MinorFaults: 7,
		}},
	{"v3 big-endian", `
		10 83            # ac_flag AXSIG; version 3, big-endian
		0000             # ac_tty
		0000 000f        # ac_exitcode: SIGTERM
		0000 03e8        # ac_uid 1000
		0000 0064        # ac_gid 100
		0001 86a0        # ac_pid 100000
		0000 0001        # ac_ppid 1
		f000 0000        # ac_btime 4026531840, in 2097: unsigned
		4640 e400        # ac_etime 12345.0 ticks
		0064 2400        # ac_utime 100, ac_stime 1024<<3
		0010 0000 0000   # ac_mem, ac_io, ac_rw
		2401 0001 0000   # ac_minflt 1025<<3, ac_majflt 1, ac_swaps
		6162 6364 6566 6768 696a 6b6c 6d6e 6f70 # ac_comm, 16 letters: no NUL`,
		Record{
			Source: BSD, Whole: true, Flags: FlagSig, UID: 1000, GID: 100, PID: 100000, PPID: 1, ExitCode: 15, Comm: comm("abcdefghijklmnop"), Begin: 4026531840,
			User: time.Second, System: 81920 * time.Millisecond, CPU: 82920 * time.Millisecond, Elapsed: 123450 * time.Millisecond,
			MinorFaults: 8200, MajorFaults: 1,
		}},
}

func TestDecodeBSD(t *testing.T) {
	for _, tt := range handmade {
		t.Run(tt.name, func(t *testing.T) {
			b := unhex(t, tt.lines)
			var got Record
			if err := DecodeBSD(b, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			for n := range b {
				short := Record{PID: 1}
				if err := DecodeBSD(b[:n], &short); !errors.Is(err, errNotRecord) || short != (Record{PID: 1}) {
					t.Fatalf("cut to %d bytes: %+v, %v; want errNotRecord and no change", n, short, err)
				}
			}
		})
	}
}

// TestDecodeBSDRefuses changes one thing at a time of a good line into what no
// kernel writes.
func TestDecodeBSDRefuses(t *testing.T) {
	v3 := unhex(t, recorded(t)["exit 7"])
	v2 := unhex(t, handmade[2].lines)
	v0 := unhex(t, handmade[0].lines)
	for _, tt := range []struct {
		name string
		good []byte
		at   int
		put  string
	}{
		{"version 4", v3, 1, "04"},
		{"version 64, big-endian", v3, 1, "c0"},
		{"pid 0", v3, 16, "00000000"},
		{"pid above PID_MAX_LIMIT", v3, 16, "01004000"},
		{"negative pid", v3, 16, "ffffffff"},
		{"ppid above PID_MAX_LIMIT", v3, 20, "01004000"},
		{"exit code of 17 bits", v3, 4, "00000100"},
		{"elapsed is a fraction", v3, 28, "0000c03f"},
		{"elapsed is negative", v3, 28, "000080bf"},
		{"elapsed is NaN", v3, 28, "0000c07f"},
		{"elapsed is infinite", v3, 28, "0000807f"},
		{"elapsed beyond 292 years", v3, 28, "ffbf5653"},
		{"text after the name's end", v3, 48, "6100620000000000"},
		{"text in the second half", v3, 48, "61000000000000000061"},
		{"no name, then text", v3, 48, "00000000000000000000000000000001"},
		{"v2 without clock rate", v2, 30, "0000"},
		{"v2 text in the name's 17th byte", v2, 50, "0000 01"},
		{"v2 exit code of 17 bits", v2, 32, "00000100"},
		{"v2 at 1 Hz: a thousand years", v2, 30, "0100 09000000 61000000000000000000000000000000 00 ff ffff"},
		{"v0 without start", v0, 8, "00000000"},
		{"v0 with its padding used", v0, 53, "01"},
		{"v0 with its padding used at the end", v0, 63, "01"},
		{"a hole in the file", make([]byte, 64), 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := bytes.Clone(tt.good)
			copy(b[tt.at:], unhex(t, tt.put))
			var got Record
			if err := DecodeBSD(b, &got); !errors.Is(err, errNotRecord) || got != (Record{}) {
				t.Errorf("%+v, %v; want errNotRecord and no change", got, err)
			}
			if tt.put != "" {
				if err := DecodeBSD(tt.good, &got); err != nil {
					t.Errorf("the line before the change: %v", err)
				}
			}
		})
	}
}

// Kernel threads end with any 32-bit code on kernels before 5.17.
func TestDecodeBSDKernelThread(t *testing.T) {
	b := AppendBSD(nil, &Record{PID: 9, PPID: 2, ExitCode: 0xfffffffc, Flags: FlagFork, Comm: comm("kworker/0:1")})
	var got Record
	if err := DecodeBSD(b, &got); err != nil || got.ExitCode != 0xfffffffc {
		t.Errorf("%+v, %v", got, err)
	}
	if IsCaller((*[BSDSize]byte)(b)) {
		t.Error("taken for a living caller of acct(2)")
	}
}

// recorded returns the lines of testdata/bsd_v3.hex by what comes after the #.
func recorded(t testing.TB) map[string]string {
	t.Helper()
	b, err := os.ReadFile("testdata/bsd_v3.hex")
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		if digits, name, ok := strings.Cut(strings.TrimSpace(line), " # "); ok {
			m[name] = digits
		}
	}
	return m
}

// TestDecodeBSDRecorded checks the lines of testdata/bsd_v3.hex, which a kernel
// wrote for the programs of TestKernelBSD. The test binary, named "exe" after
// the link it was started by, made them.
func TestDecodeBSDRecorded(t *testing.T) {
	const parent, begin = 3620, 1795438523
	lines := recorded(t)
	for name, want := range map[string]Record{
		"exit 7": {PID: 3627, ExitCode: 7 << 8, Flags: FlagSig, Comm: comm("exe"),
			MinorFaults: 487},
		"SIGKILL": {PID: 3632, ExitCode: 9, Flags: FlagSig, Comm: comm("exe"),
			MinorFaults: 5},
		"burn 250ms": {PID: 3633, Flags: FlagSig, Comm: comm("exe"),
			Elapsed: 260 * time.Millisecond, User: 60 * time.Millisecond, System: 190 * time.Millisecond, MinorFaults: 482},
		"setuid": {PID: 3638, UID: 65534, GID: 65533, Flags: FlagSig | FlagSU, Comm: comm("exe"),
			MinorFaults: 478},
		"exec from a thread": {PID: 3643, Flags: FlagSig, Comm: comm("exe"),
			Elapsed: 10 * time.Millisecond, System: 10 * time.Millisecond, MinorFaults: 978},
		"fork": {PID: 3652, Flags: FlagFork, Comm: comm("acct.test"),
			MinorFaults: 6},
		"living caller": {PID: 3620, PPID: 3575, Comm: comm("acct.test"),
			Elapsed: 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			want.Source, want.Whole, want.Begin = BSD, true, begin
			want.CPU = want.User + want.System
			if want.PPID == 0 {
				want.PPID = parent
			}
			b := unhex(t, lines[name])
			var got Record
			if err := DecodeBSD(b, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if got := IsCaller((*[BSDSize]byte)(b)); got != (name == "living caller") {
				t.Errorf("living: %v", got)
			}
		})
	}
}

// A life time that the kernel computed as less than nothing wraps around; such
// lines were seen from virtual machines. They are records of short lives of which
// the beginning is not known.
func TestDecodeBSDWrapped(t *testing.T) {
	v2 := unhex(t, handmade[2].lines)
	copy(v2[53:], unhex(t, "d0 0697")) // 2^64 ns in ticks of 1024 Hz: exponent 26, and the fraction without its first bit
	for name, b := range map[string][]byte{
		"Linux 3.10, begin computed from it": unhex(t, "020300880000000000000000000000000b090000020700002427611a94bfd653000000003c480000000002020000000073797374656d63746c00000000000000"),
		"Linux 5.14, begin clamped":          unhex(t, "01030188000000000000000000000000c50f0000ab0d00000000000094bfd65300000000c34d000000007e000000000062617368000000000000000000000000"),
		"version 2":                          v2,
	} {
		var got Record
		if err := DecodeBSD(b, &got); err != nil || got.Elapsed != 0 || got.Begin != 0 || got.Comm == ([16]byte{}) {
			t.Errorf("%s: begin %d, lived %v of %q, %v; want a record without", name, got.Begin, got.Elapsed, got.Command(), err)
		}
	}
}
