// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/acct"
)

func TestPosition(t *testing.T) {
	p := Position{Segment: 3, Offset: 640, Device: 0xfe00, Inode: 1 << 40, Sum: 0xdeadbeef}
	b, err := p.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	want := "01" + "0000000000000003" + "0000000000000280" + "000000000000fe00" + "0000010000000000" + "deadbeef"
	if fmt.Sprintf("%x", b) != want {
		t.Errorf("binary form %x, want %x", b, want)
	}
	var q Position
	if err := q.UnmarshalBinary(b); err != nil || q != p {
		t.Errorf("read back: %+v, %v", q, err)
	}
	q = Position{Segment: 1}
	bad := [][]byte{nil, b[:len(b)-1], append(slices.Clone(b), 0), append([]byte{2}, b[1:]...), append([]byte{1, 0, 0, 0, 0, 0, 0, 0, 3, 0x80}, b[10:]...)}
	for _, b := range bad {
		if err := q.UnmarshalBinary(b); err == nil || q != (Position{Segment: 1}) {
			t.Errorf("%x: %+v, %v; want an error and no change", b, q, err)
		}
	}
	order := []Position{{}, {Segment: 1}, {Segment: 1, Offset: 64}, {Segment: 2}, {Segment: 2, Offset: 128, Inode: 7}}
	for i, p := range order {
		for j, q := range order {
			if got := p.Compare(q); got != cmpInt(i, j) {
				t.Errorf("%v against %v: %d", p, q, got)
			}
		}
	}
	if !order[0].IsZero() || order[1].IsZero() {
		t.Error("IsZero")
	}
}

func cmpInt(i, j int) int { return min(1, max(-1, i-j)) }

func comm(s string) (c [16]byte) {
	copy(c[:], s)
	return c
}

// oldLine is a line of version 2, which names no process: struct acct of
// include/uapi/linux/acct.h.
func oldLine() []byte {
	b := make([]byte, acct.BSDSize)
	b[1] = 2
	b[18] = 1           // ac_mem
	b[30] = 100         // ac_ahz
	copy(b[36:], "old") // ac_comm
	return b
}

// bigLine is a line as a big-endian kernel writes it.
func bigLine(pid int) []byte {
	b := line(pid)
	b[1] |= 0x80
	for _, field := range [][2]int{{2, 2}, {4, 4}, {8, 4}, {12, 4}, {16, 4}, {20, 4}, {24, 4}, {28, 4},
		{32, 2}, {34, 2}, {36, 2}, {38, 2}, {40, 2}, {42, 2}, {44, 2}, {46, 2}} {
		slices.Reverse(b[field[0] : field[0]+field[1]])
	}
	return b
}

// line is a version 3 line of a process with a pid, begun after those with a
// smaller pid.
func line(pid int) []byte {
	return acct.AppendBSD(nil, &acct.Record{PID: int32(pid), PPID: 1, Begin: 1795438523 + int64(pid), Comm: comm("sh"), MinorFaults: 40})
}

// callerLine is what the kernel writes at a switch for its living caller, when
// the process of a pid was the last to end.
func callerLine(last int) []byte {
	b := line(last)
	b[16], b[17], b[18] = 0xa0, 0xbb, 0x0d // 900000
	b[36], b[37] = 0, 0
	return b
}

// gather returns an emit that keeps what it is handed.
func gather(recs *[]acct.Record) func([]acct.Record) error {
	return func(batch []acct.Record) error {
		*recs = append(*recs, batch...)
		return nil
	}
}

func pidsOf(recs []acct.Record) (pids []int) {
	for _, r := range recs {
		pids = append(pids, int(r.PID))
	}
	return pids
}

func TestScan(t *testing.T) {
	v2 := oldLine()
	for _, tt := range []struct {
		name string
		file []byte
		want []int
		skip Skipped
		left int64 // bytes that may still become a record
	}{
		{"empty", nil, nil, Skipped{}, 0},
		{"whole", slices.Concat(line(1), line(2)), []int{1, 2}, Skipped{}, 0},
		{"torn tail", slices.Concat(line(1), line(2)[:40]), []int{1}, Skipped{}, 40},
		{"torn within", slices.Concat(line(1), line(2)[:20], line(3), line(4)), []int{1, 3, 4}, Skipped{Bytes: 20}, 0},
		{"torn by one byte", slices.Concat(line(1), line(2)[:62], line(3), line(4)), []int{1, 3, 4}, Skipped{Bytes: 62}, 0},
		{"text", slices.Concat([]byte("# hello\n"), line(1)), []int{1}, Skipped{Bytes: 8}, 0},
		{"a hole", slices.Concat(line(1), make([]byte, 256), line(2)), []int{1, 2}, Skipped{Bytes: 256}, 0},
		{"another version", slices.Concat(v2, line(1), v2), []int{1}, Skipped{Bytes: 65}, 63},
		{"big-endian", slices.Concat(line(1), bigLine(5), line(2)), []int{1, 5, 2}, Skipped{}, 0},
		{"living caller", slices.Concat(line(1), callerLine(1), line(9)), []int{1, 9}, Skipped{Callers: 1}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s scanner
			var recs []acct.Record
			var sk Skipped
			size := int64(len(tt.file))
			m, err := s.read(bytes.NewReader(tt.file), mark{}, size, &sk, gather(&recs))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, pidsOf(recs)); diff != "" {
				t.Errorf("pids (-want +got)\n%s", diff)
			}
			if sk != tt.skip || size-m.offset != tt.left {
				t.Errorf("%+v, %d bytes left; want %+v, %d", sk, size-m.offset, tt.skip, tt.left)
			}
		})
	}
}

// TestScanEveryTear cuts a record at every length, and finds all others. (With
// its last byte alone missing, a NUL, the next one's first byte stands in for
// it: the torn record is found and the next is lost.)
func TestScanEveryTear(t *testing.T) {
	for cut := 1; cut < acct.BSDSize-1; cut++ {
		file := slices.Concat(line(1), line(2)[:cut], line(3), line(4))
		var s scanner
		var recs []acct.Record
		var sk Skipped
		if _, err := s.read(bytes.NewReader(file), mark{}, int64(len(file)), &sk, gather(&recs)); err != nil {
			t.Fatal(err)
		}
		if got := pidsOf(recs); !slices.Equal(got, []int{1, 3, 4}) || sk.Bytes != uint64(cut) {
			t.Errorf("cut to %d bytes: records %v, %d bytes skipped", cut, got, sk.Bytes)
		}
	}
}

func TestScanStops(t *testing.T) {
	file := bytes.Repeat(line(7), 3000)
	f, size := bytes.NewReader(file), int64(len(file))
	stop := errors.New("enough")
	var s scanner
	var sk Skipped
	calls := 0
	m, err := s.read(f, mark{}, size, &sk, func(recs []acct.Record) error {
		if calls++; calls == 3 {
			return stop
		}
		return nil
	})
	if err != stop || m.offset != 2*batchSize*acct.BSDSize {
		t.Errorf("stopped at %d by %v; want behind two batches", m.offset, err)
	}
	if !m.matches(f) {
		t.Error("the mark does not match its own file")
	}
	if m, err = s.read(f, m, size, &sk, func([]acct.Record) error { return nil }); err != nil || m.offset != size {
		t.Errorf("went on to %d, %v; want the end", m.offset, err)
	}
	copy(file[len(file)-acct.BSDSize:], line(8))
	if m.matches(f) {
		t.Error("the mark matches another file")
	}
	if _, err := s.read(f, m, size+acct.BSDSize, &sk, nil); err != errReplaced {
		t.Errorf("read on in another file: %v", err)
	}
	if _, err := s.read(bytes.NewReader(nil), m, size+acct.BSDSize, &sk, nil); err != errReplaced {
		t.Errorf("read on in a truncated file: %v", err)
	}
	if _, err := s.read(brokenFile{}, mark{}, 64, &sk, nil); err != iotest.ErrTimeout {
		t.Errorf("a file that cannot be read: %v", err)
	}
	if err := s.readBackward(brokenFile{}, 0, 64, nil); err != iotest.ErrTimeout {
		t.Errorf("a file that cannot be read backward: %v", err)
	}
}

// A file is cut and written anew between the system calls that read it.
func TestScanCutMeanwhile(t *testing.T) {
	for _, offset := range []int64{0, acct.BSDSize} {
		old := slices.Concat(line(1), line(2), line(3))
		m, err := markAt(bytes.NewReader(old), offset)
		if err != nil {
			t.Fatal(err)
		}
		f := &cutFile{old, slices.Concat(line(4), line(5), line(6))}
		var s scanner
		var sk Skipped
		if _, err := s.read(f, m, 3*acct.BSDSize, &sk, func(recs []acct.Record) error {
			t.Errorf("from %d: handed out %v", offset, pidsOf(recs))
			return nil
		}); err != errReplaced {
			t.Errorf("from %d: %v", offset, err)
		}
	}
}

// cutFile is one file at the first read, with one record of the next in it, and
// the next from then on.
type cutFile struct{ first, then []byte }

func (f *cutFile) ReadAt(b []byte, offset int64) (int, error) {
	n, err := bytes.NewReader(f.first).ReadAt(b, offset)
	if tail := n - acct.BSDSize; tail > 0 {
		copy(b[tail:n], f.then[int64(tail)+offset:])
	}
	f.first = f.then
	return n, err
}

type brokenFile struct{}

func (brokenFile) ReadAt([]byte, int64) (int, error) { return 0, iotest.ErrTimeout }

// FuzzScan: whatever the bytes, reading at once, in parts, backward, and by the
// rule's own words finds the same records.
func FuzzScan(f *testing.F) {
	f.Add(slices.Concat(line(1), line(2)[:30], line(3), callerLine(4), []byte("x"), line(5)), uint16(70))
	f.Add(bytes.Repeat(line(6), 20), uint16(1))
	f.Fuzz(func(t *testing.T, file []byte, step uint16) {
		// Long enough for several batches, with the odd bytes at their seams.
		file = bytes.Repeat(file, 1+3*batchSize*acct.BSDSize/max(len(file), 4096))
		size := int64(len(file))
		var want []acct.Record
		var sum Skipped
		end := 0
		for end+acct.BSDSize <= len(file) {
			var r acct.Record
			b := file[end : end+acct.BSDSize]
			switch {
			case b[1]&0x7f != 3 || acct.DecodeBSD(b, &r) != nil:
				sum.Bytes++
				end++
				continue
			case acct.IsCaller((*[acct.BSDSize]byte)(b)):
				sum.Callers++
			default:
				want = append(want, r)
			}
			end += acct.BSDSize
		}
		var s scanner
		var got []acct.Record
		var sk Skipped
		m, err := s.read(bytes.NewReader(file), mark{}, size, &sk, gather(&got))
		if err != nil || m.offset != int64(end) || sk != sum || !slices.Equal(got, want) {
			t.Fatalf("at once: %d records to %d, %+v, %v; want %d to %d, %+v", len(got), m.offset, sk, err, len(want), end, sum)
		}
		parts, sk := []acct.Record(nil), Skipped{}
		p := mark{}
		for to, n := int64(0), int64(step)+1; to < size; n = n*5/3 + 1 {
			to = min(to+n, size)
			// The file grows as it is read.
			if p, err = s.read(io.NewSectionReader(bytes.NewReader(file), 0, to), p, size, &sk, gather(&parts)); err != nil {
				t.Fatal(err)
			}
		}
		if p != m || sk != sum || !slices.Equal(parts, want) {
			t.Fatalf("in parts: %d records to %v, %+v; want %d to %v, %+v", len(parts), p, sk, len(want), m, sum)
		}
		var back []acct.Record
		if err := s.readBackward(bytes.NewReader(file), 0, size, gather(&back)); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(back)
		if !slices.Equal(back, want) {
			t.Fatalf("backward: %d records, want %d", len(back), len(want))
		}
	})
}
