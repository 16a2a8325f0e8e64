// SPDX-License-Identifier: Apache-2.0

package taskstats

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/acct"
)

// recorded returns the recorded messages by the name of their process,
// without struct nlmsghdr.
func recorded(t testing.TB) map[string][][]byte {
	t.Helper()
	file, err := os.ReadFile("testdata/taskstats.hex")
	if err != nil {
		t.Fatal(err)
	}
	messages := make(map[string][][]byte)
	for line := range strings.Lines(string(file)) {
		digits, note, _ := strings.Cut(line, "#")
		if strings.TrimSpace(digits) == "" {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimSpace(note), ":")
		b, err := hex.DecodeString(strings.TrimSpace(digits))
		if err != nil {
			t.Fatal(err)
		}
		messages[name] = append(messages[name], b[netlinkHeader:])
	}
	return messages
}

func comm(s string) (c [16]byte) {
	copy(c[:], s)
	return c
}

func TestDecodeTaskstats(t *testing.T) {
	// What each process was made to do is in TestKernelTaskstats; the figures
	// were read off the messages with the offsets of the header at hand.
	for _, tt := range []struct {
		name     string
		messages int
		want     acct.Record
	}{
		{"fork", 1, acct.Record{
			Source: acct.Taskstats, Flags: acct.FlagFork | acct.FlagGroup, Whole: true, PID: 9233, PPID: 8963, Comm: comm("acct.test"),
			Begin: 1795441263, Elapsed: 113 * time.Microsecond, MinorFaults: 6, MaxRSS: 1812 << 10, ImageRSS: 1812 << 10, MaxVM: 1628240 << 10,
			CPUDelay: 45077,
		}},
		{"write 1048576", 5, acct.Record{
			Source: acct.Taskstats, Flags: acct.FlagSig | acct.FlagGroup, Whole: true, PID: 9228, PPID: 8963, Comm: comm("exe"),
			Begin: 1795441263, Elapsed: 6285 * time.Microsecond, System: 4 * time.Millisecond, CPU: 4 * time.Millisecond,
			Runtime: 4030862 + 58348 + 33710 + 36844 + 396403, MinorFaults: 724 + 5 + 2 + 2 + 5,
			WriteBytes: 1 << 20, WriteChars: 1 << 20, ReadChars: 7168, MaxRSS: 8088 << 10, ImageRSS: 8088 << 10, MaxVM: 1628168 << 10,
			VoluntarySwitches: 9 + 6 + 1 + 2 + 19, InvoluntarySwitches: 7 + 3,
			RSSTime: 31593 * 1.048576, VMTime: 6104031 * 1.048576,
			CPUDelay: 1354892 + 1902927 + 1831561 + 2058951 + 2442514,
		}},
		{"the same, leader first", 8, acct.Record{
			Source: acct.Taskstats, Flags: acct.FlagSig | acct.FlagGroup, Whole: true, PID: 9136, PPID: 8963, ExitCode: 0x400, Comm: comm("exe"),
			Begin: 1795441263, Elapsed: 338034 * time.Microsecond,
			User: 32 * time.Millisecond, System: 184 * time.Millisecond, CPU: 216 * time.Millisecond, Runtime: 196533121,
			MinorFaults: 474 + 6 + 7 + 5 + 21 + 2 + 3 + 19, ReadChars: 7168, MaxRSS: 8728 << 10, ImageRSS: 8728 << 10, MaxVM: 1784084 << 10,
			VoluntarySwitches: 1 + 6 + 0 + 107 + 999 + 44 + 2 + 3, InvoluntarySwitches: 11 + 374 + 371 + 0 + 76 + 1 + 1 + 501,
			RSSTime: (46359 + 500906 + 537499 + 709968) * 1.048576, VMTime: (10856531 + 103959140 + 111505249 + 146350640) * 1.048576,
			CPUDelay: 3422643 + 174028432 + 170103628 + 3632039 + 166693013 + 2118017 + 7978431 + 269108378,
		}},
		{"exec from a thread", 9, acct.Record{
			Source: acct.Taskstats, Flags: acct.FlagSig | acct.FlagGroup, Whole: true, PID: 9216, PPID: 8963, Comm: comm("exe"),
			Begin: 1795441263, Elapsed: 13247 * time.Microsecond,
			System: 8 * time.Millisecond, CPU: 8 * time.Millisecond, Runtime: 6820975,
			MinorFaults: 2 + 5 + 3 + 493 + 496 + 5 + 4 + 2 + 3, ReadChars: 14336, MaxRSS: 8104 << 10, ImageRSS: 8044 << 10, MaxVM: 1628240 << 10,
			VoluntarySwitches: 1 + 17 + 1 + 0 + 5 + 19 + 7 + 1 + 2, InvoluntarySwitches: 7 + 23,
			RSSTime: (6203 + 6578) * 1.048576, VMTime: (166187 + 166187) * 1.048576,
			CPUDelay: 1063406 + 316042 + 237715 + 2872434 + 5300405 + 220968 + 141189 + 69503 + 137305,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			messages := recorded(t)[tt.name]
			if len(messages) != tt.messages {
				t.Fatalf("%d messages recorded, want %d", len(messages), tt.messages)
			}
			j := newThreadJoin()
			var got []acct.Record
			for i, m := range messages {
				var x threadExit
				if err := decodeMessage(&x, m); err != nil {
					t.Fatal(err)
				}
				if x.version != 16 || x.tgid != tt.want.PID {
					t.Errorf("message %d: version %d of process %d", i, x.version, x.tgid)
				}
				got = j.add(got, &x)
			}
			near := cmp.Comparer(func(a, b float64) bool { return a == b || (a-b)/(a+b) < 1e-9 && (b-a)/(a+b) < 1e-9 })
			if diff := cmp.Diff([]acct.Record{tt.want}, got, near); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
			if len(j.open) != 0 {
				t.Errorf("%d processes still open", len(j.open))
			}
		})
	}
}

// A message cut short must be refused, but for one place: where the thread's
// part ends and the process's has not begun.
func TestDecodeTaskstatsCut(t *testing.T) {
	for name, messages := range recorded(t) {
		m := messages[len(messages)-1]
		end := 4 + int(binary.NativeEndian.Uint16(m[4:])) // of TASKSTATS_TYPE_AGGR_PID
		for n := range len(m) {
			x := threadExit{tid: 1}
			err := decodeMessage(&x, m[:n])
			switch {
			case n == end:
				if err != nil {
					t.Errorf("%s: the thread's part alone: %v", name, err)
				}
			case err == nil:
				t.Errorf("%s: decoded %d of %d bytes", name, n, len(m))
			case x != (threadExit{}):
				t.Errorf("%s: error and a result from %d bytes: %+v", name, n, x)
			}
		}
	}
}

// attribute lays out one struct nlattr.
func attribute(kind uint16, values ...[]byte) []byte {
	b := make([]byte, 4)
	for _, v := range values {
		b = append(b, v...)
	}
	binary.NativeEndian.PutUint16(b, uint16(len(b)))
	binary.NativeEndian.PutUint16(b[2:], kind)
	return append(b, make([]byte, -len(b)&3)...)
}

func u32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// payload is a message about a thread with the structure stats.
func payload(tid uint32, stats []byte, more ...[]byte) []byte {
	b := append([]byte{cmdNew, 1, 0, 0},
		attribute(typeAggrPID, attribute(typePID, u32(tid)), attribute(typeStats, stats))...)
	return append(b, slices.Concat(more...)...)
}

// The structure has only grown, so an older kernel's is the beginning of a
// newer one's.
func TestDecodeTaskstatsVersions(t *testing.T) {
	recorded := recorded(t)["fork"][0]
	stats := recorded[len(recorded)-560:]
	var newest threadExit
	if err := decodeMessage(&newest, recorded); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		version uint16
		size    int
		process bool // says which process
		err     error
	}{
		{7, 312, false, errShort},
		{7, 560, false, errOldVersion},
		{8, 328, false, nil},
		{9, 344, false, nil},
		{10, 352, false, nil},
		{10, 344, false, errShort},
		{11, 368, false, nil},
		{12, 400, true, nil},
		{12, 399, false, errShort},
		{13, 416, true, nil},
		{14, 432, true, nil},
		{15, 560, false, errVersion15},
		{16, 560, true, nil},
		{99, 4000, true, nil},
	} {
		b := make([]byte, tt.size)
		copy(b, stats)
		binary.NativeEndian.PutUint16(b, tt.version)
		var x threadExit
		err := decodeMessage(&x, payload(uint32(newest.tid), b))
		if !errors.Is(err, tt.err) {
			t.Errorf("version %d, %d bytes: error %v, want %v", tt.version, tt.size, err, tt.err)
		}
		if tt.err != nil {
			continue
		}
		want := newest
		want.version = tt.version
		if !tt.process {
			want.tgid, want.processElapsed = 0, 0
		}
		if diff := cmp.Diff(want, x, cmp.AllowUnexported(threadExit{})); diff != "" {
			t.Errorf("version %d (-want +got):\n%s", tt.version, diff)
		}
		// Without a process there is nothing to sum up, nor to wait for.
		x.rec.Flags &^= acct.FlagGroup
		got := newThreadJoin().add(nil, &x)
		if tt.process && len(got) != 0 || !tt.process && (len(got) != 1 || got[0].Whole) {
			t.Errorf("version %d: a thread gave %+v", tt.version, got)
		}
	}
}

// Before version 12 only the last thread of several says which process it was.
func TestDecodeTaskstatsOldGroup(t *testing.T) {
	stats := make([]byte, 352)
	binary.NativeEndian.PutUint16(stats, 10)
	binary.NativeEndian.PutUint32(stats[tsPID:], 12)
	group := slices.Clone(stats)
	binary.NativeEndian.PutUint64(group[tsVirtual:], 5e9)
	m := payload(12, stats, attribute(typeAggrTGID, attribute(typeTGID, u32(10)), attribute(typeStats, group)))
	var x threadExit
	if err := decodeMessage(&x, m); err != nil {
		t.Fatal(err)
	}
	want := []acct.Record{{Source: acct.Taskstats, PID: 10, Runtime: 5 * time.Second}}
	if diff := cmp.Diff(want, newThreadJoin().add(nil, &x)); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

// A life time that the kernel computed as less than nothing wraps around: the
// process lived for nothing, and when it began is not known.
func TestDecodeTaskstatsWrapped(t *testing.T) {
	const before = -5 // µs
	b := make([]byte, tsVersion12)
	binary.NativeEndian.PutUint16(b[tsVersion:], 12)
	binary.NativeEndian.PutUint32(b[tsPID:], 7)
	binary.NativeEndian.PutUint32(b[tsTGID:], 7)
	for _, at := range []int{tsEtime, tsTGEtime} {
		binary.NativeEndian.PutUint64(b[at:], (1<<64+before*1000)/1000)
	}
	binary.NativeEndian.PutUint64(b[tsBtime64:], 442574628)
	var x threadExit
	if err := x.decodeThread(b); err != nil {
		t.Fatal(err)
	}
	if r := x.whole(); r.Begin != 0 || r.Elapsed != 0 {
		t.Errorf("begin %d, lived %v; want neither", r.Begin, r.Elapsed)
	}
}

func FuzzDecodeTaskstats(f *testing.F) {
	for _, messages := range recorded(f) {
		f.Add(messages[0])
		f.Add(messages[len(messages)-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x := threadExit{tid: 1}
		if err := decodeMessage(&x, b); err != nil {
			if x != (threadExit{}) {
				t.Fatalf("error and a result: %+v", x)
			}
			return
		}
		// A newer kernel may add an attribute; that changes nothing.
		var y threadExit
		if err := decodeMessage(&y, slices.Concat(b, make([]byte, -len(b)&3), attribute(77, []byte("new")))); err != nil {
			if len(b)&3 != 0 {
				return // the padding was an attribute cut short
			}
			t.Fatalf("with one attribute more: %v", err)
		}
		// Floats are compared by their bits: no conversion gives a NaN.
		if x != y {
			t.Fatalf("with one attribute more:\n%+v\n%+v", x, y)
		}
	})
}

func BenchmarkTaskstats(b *testing.B) {
	messages := recorded(b)
	all := slices.Concat(messages["fork"], messages["the same, leader first"])
	j := newThreadJoin()
	var x threadExit
	out := make([]acct.Record, 0, 4)
	b.ReportAllocs()
	for b.Loop() {
		out = out[:0]
		for _, m := range all {
			if err := decodeMessage(&x, m); err != nil {
				b.Fatal(err)
			}
			out = j.add(out, &x)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(all)), "ns/message")
}
