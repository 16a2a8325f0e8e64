// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"elsa/internal/kerneltest"
	"elsa/pkg/acct"
	"elsa/pkg/ledger"
)

// switched waits until accounting has been switched to a new segment n times more.
func (d *daemon) switched(n int) {
	d.t.Helper()
	newest := func() (number int) {
		names, _ := filepath.Glob(filepath.Join(d.segments(), "*.acct"))
		for _, name := range names {
			n, _ := strconv.Atoi(strings.TrimSuffix(filepath.Base(name), ".acct"))
			number = max(number, n)
		}
		return number
	}
	was := newest()
	kerneltest.Eventually(d.t, "new segments", func() bool { return newest() >= was+n })
}

// Segments of 64 lines are changed for the next all the time.
func TestKernelSegments(t *testing.T) {
	needKernel(t)
	wanted := 40
	if soak() {
		wanted = 1000
	}
	d := newDaemon(t, t.TempDir(), "--commit-interval", "20ms")
	w := newWitness(t, d)
	d.start("ELSA_FAULT_SIZES=segment=4096")
	unwritten := d.unwritten()
	l := d.load("proved", nil, "churn", "cbzod", "4", "200")
	stop := overrun(t)
	for range 10 { // or as long as a busy machine takes
		d.switched(wanted / 10)
	}
	stop()
	want := l.end()
	got := groupOf(t, d.report(), "proved").Usage
	s := d.status()
	if s.Records.MissingLedger != 0 || s.Records.LedgerSkippedBytes != 0 {
		t.Errorf("%d deaths without a line, %d bytes skipped", s.Records.MissingLedger, s.Records.LedgerSkippedBytes)
	}
	d.stop()
	st := d.stored()
	names, _ := filepath.Glob(filepath.Join(d.segments(), "*"))
	if n := len(names); n > 1 {
		t.Errorf("%d segments are left at the end", n)
	}
	switches := int(st.Meta.Position.Segment) - 1
	if switches < wanted/2 {
		t.Errorf("%d switches only", switches)
	}
	lines := unwritten + w.count(st.Meta.Position)
	lost, doubled := differ(lines, ended(st))
	less, more := differ(uint64(want.Processes), got.ProcessesEnded)
	if lost+doubled+less+more != 0 {
		t.Errorf("%d lines, %d deaths on bills; %d made, %d ended in the group", lines, ended(st), want.Processes, got.ProcessesEnded)
	}
	row(t, "Accounting switched from segment to segment in a storm", switches, lines, lost+less, doubled+more, "")
}

// Another program owns accounting, and a logrotate of its own rotates its file:
// by renaming it and switching, or by a copy that it cuts the file after.
func TestKernelFollow(t *testing.T) {
	for _, tt := range []struct {
		name, what string
		rotate     func(t testing.TB, path string, n int)
	}{
		{"rename", "Following a file that is renamed and switched", func(t testing.TB, path string, n int) {
			if err := os.Rename(path, fmt.Sprint(path, ".", n)); err != nil {
				t.Fatal(err)
			}
			accton(t, path)
		}},
		{"copytruncate", "… that is copied and cut", func(t testing.TB, path string, n int) {
			b, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(fmt.Sprint(path, ".", n), b, 0o600)
			}
			if err == nil {
				err = os.Truncate(path, 0)
			}
			if err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			needKernel(t)
			rotations := 10
			if soak() {
				rotations = 100
			}
			path := filepath.Join(t.TempDir(), "pacct")
			accton(t, path)
			d := newDaemon(t, t.TempDir(), "--commit-interval", "100ms", "--acct", "follow:"+path)
			d.start()
			l := d.load("proved", nil, "churn", "cbzod", "2", "1000")
			grows := func() {
				size := func() int64 {
					fi, err := os.Stat(path)
					if err != nil {
						t.Fatal(err)
					}
					return fi.Size()
				}
				was := size()
				kerneltest.Eventually(t, "the file grows", func() bool { return size() >= was+20*acct.BSDSize })
			}
			for n := range rotations {
				grows()
				switch n % 5 {
				case 3: // also while nobody reads
					d.kill()
					grows()
					tt.rotate(t, path, n)
					d.start()
				default:
					tt.rotate(t, path, n)
				}
			}
			want := uint64(l.end().Processes)
			d.report()
			r := d.report()
			got := groupOf(t, r, "proved").Usage.ProcessesEnded
			s := d.status()
			d.stop()
			lost, _ := differ(want, got+r.Unattributed.ProcessesEnded)
			_, doubled := differ(want, max(want, got))
			note := fmt.Sprintf("%d by their line, %d without one, %d unattributed",
				s.Records.BSD, s.Records.MissingLedger, want-min(want, got))
			cut := tt.name == "copytruncate" && lost > 0
			if cut { // nobody was told of these
				note += "; lost: born and died while elsad was down, and cut off before it was back"
			}
			if lost+doubled != 0 && !cut || doubled != 0 {
				t.Errorf("%d made, %d ended, %d unattributed; %+v", want, got, r.Unattributed.ProcessesEnded, s.Records)
			}
			row(t, tt.what, rotations, want, lost, doubled, note)
		})
	}
}

// accton switches accounting on as another program does, to a new file.
func accton(t testing.TB, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ledger.SwitchOn(path); err != nil {
		t.Fatal(err)
	}
}

// Others write to the accounting file: half a line, text, lines of a version
// without a pid, and a big-endian kernel's. What is no line is counted, to the
// byte, and nothing else is lost.
func TestKernelForeignBytes(t *testing.T) {
	needKernel(t)
	times := 10
	if soak() {
		times = 200
	}
	path := filepath.Join(t.TempDir(), "pacct")
	accton(t, path)
	d := newDaemon(t, t.TempDir(), "--commit-interval", "100ms", "--acct", "follow:"+path)
	d.start()
	l := d.load("proved", nil, "churn", "cbzod", "2", "500")
	line := acct.AppendBSD(nil, &acct.Record{
		Source: acct.BSD, Whole: true, PID: 4_000_000, PPID: 4_000_001, Begin: time.Now().Unix(), Comm: [16]byte{'b', 'i', 'g'},
	})
	old := bytes.Clone(line)
	old[1] = 2 // ac_version
	foreign, big := uint64(0), 0
	for n := range times {
		for _, b := range [][]byte{line[:30], []byte("what is this doing here?\n"), old, bigEndian(line)} {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(b); err != nil {
				t.Fatal(err)
			}
			f.Close()
			if len(b) == acct.BSDSize && b[1]&0x80 != 0 {
				big++
			} else {
				foreign += uint64(len(b))
			}
		}
		if n%4 == 3 {
			d.report() // reads with half a line at its end, or behind it
		}
	}
	want := uint64(l.end().Processes)
	r := d.report()
	s := d.status()
	d.stop()
	got := groupOf(t, r, "proved").Usage.ProcessesEnded
	lost, doubled := differ(want, got)
	if lost+doubled != 0 || s.Records.LedgerSkippedBytes != foreign || s.Records.MissingLedger > 1 {
		t.Errorf("%d made, %d ended; %d foreign bytes, %d skipped; %d without a line", want, got, foreign, s.Records.LedgerSkippedBytes, s.Records.MissingLedger)
	}
	if n := s.Records.Joined["unknown"]; n < uint64(big) {
		t.Errorf("%d deaths of unknown processes, want the %d of the big-endian kernel", n, big)
	}
	row(t, "Half lines, foreign bytes, other versions and byte orders in the file", 4*times, want, lost, doubled,
		fmt.Sprintf("%d bytes skipped, as many as were foreign", s.Records.LedgerSkippedBytes))
}

// bigEndian turns a line of struct acct_v3 into that of a big-endian kernel.
func bigEndian(line []byte) []byte {
	b := bytes.Clone(line)
	b[1] |= 0x80
	swap := func(at, size int) {
		for i := range size / 2 {
			b[at+i], b[at+size-1-i] = b[at+size-1-i], b[at+i]
		}
	}
	swap(2, 2) // ac_tty
	for at := 4; at < 32; at += 4 {
		swap(at, 4) // ac_exitcode … ac_btime, ac_etime
	}
	for at := 32; at < 48; at += 2 {
		swap(at, 2) // comp_t
	}
	return b
}

// The layout that bigEndian knows is that of the decoder.
func TestBigEndian(t *testing.T) {
	want := acct.Record{PID: 77, PPID: 78, UID: 5, Begin: 1_700_000_000}
	var got acct.Record
	if err := acct.DecodeBSD(bigEndian(acct.AppendBSD(nil, &want)), &got); err != nil || got.PID != 77 || got.PPID != 78 || got.UID != 5 || got.Begin != want.Begin {
		t.Errorf("%v: %+v", err, got)
	}
}
