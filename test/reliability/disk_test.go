// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"elsa/internal/kerneltest"
)

// disk is a small file system, for a state directory.
type disk struct {
	t      testing.TB
	dir    string
	filler string
}

func newDisk(t testing.TB, size string) *disk {
	t.Helper()
	d := &disk{t: t, dir: t.TempDir()}
	d.filler = filepath.Join(d.dir, "filler")
	kerneltest.Mount(t, "elsa-test", d.dir, "tmpfs", "mode=755,size="+size)
	return d
}

// fill leaves not a byte.
func (d *disk) fill() {
	d.t.Helper()
	f, err := os.Create(d.filler)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 16, 1 << 12} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
}

func (d *disk) free() {
	d.t.Helper()
	if err := os.Remove(d.filler); err != nil {
		d.t.Fatal(err)
	}
}

// The disk of the state directory is full, again and again, under a load. The
// kernel suspends accounting then, and commits fail as soon as the database would
// have to grow. That is told once, and nothing is lost.
func TestKernelDiskFull(t *testing.T) {
	needKernel(t)
	times := 2
	if soak() {
		times = 6 // the database grows by twice as much each time
	}
	// Look at the space each second instead of every 30.
	kerneltest.Sysctl(t, "kernel/acct", "4 2 1\n")
	disk := newDisk(t, "16m")
	d := newDaemon(t, disk.dir, "--commit-interval", "50ms")
	d.start(small)
	d.unwritten()
	l := d.load("proved", nil, "churn", "cbzod", "2", "2000")
	groups := 0
	suspended := false
	for n := range times {
		disk.fill()
		// Groups with long labels make the database grow until it cannot.
		kerneltest.Eventually(t, "commits fail", func() bool {
			groups++
			d.command("group", "create", fmt.Sprintf("g%d", groups), "--label", "filler="+strings.Repeat("x", 1000)).Run()
			return strings.Count(d.said(), "cannot do commit") > n
		})
		kerneltest.Eventually(t, "the kernel suspends accounting", func() bool { return d.status().Sources.Suspended })
		suspended = true
		d.without(50)
		disk.free()
		kerneltest.Eventually(t, "commits work", func() bool { return strings.Count(d.said(), "commit works again") > n })
		kerneltest.Eventually(t, "accounting goes on", func() bool { return !d.status().Sources.Suspended })
	}
	want := uint64(l.end().Processes)
	r := d.report()
	s := d.status()
	// A commit may find a little room between two that find none.
	if n, again := strings.Count(d.said(), "cannot do commit"), strings.Count(d.said(), "commit works again"); n != again {
		t.Errorf("%d times full, told %d times, and %d times that it was over", times, n, again)
	}
	if len(r.Groups) != groups+1 {
		t.Errorf("%d groups, %d were made", len(r.Groups), groups+1)
	}
	d.stop()
	st := d.stored()
	got := onBill(st, "proved")
	lost, doubled := differ(want, got)
	if lost+doubled != 0 || !suspended || s.Records.MissingLedger == 0 {
		t.Errorf("%d made, %d on the stored bill; %d without a line", want, got, s.Records.MissingLedger)
	}
	row(t, "The disk full: accounting suspended, commits impossible", times, want, lost, doubled,
		fmt.Sprintf("%d without a line; told once each time", s.Records.MissingLedger))
}

// Commits fail for a while, and elsad goes on; or for good, and it is killed.
func TestKernelCommitFails(t *testing.T) {
	needKernel(t)
	times := 3
	if soak() {
		times = 30
	}
	d := newDaemon(t, t.TempDir(), "--commit-interval", "50ms")
	w := newWitness(t, d)
	d.start(small)
	unwritten := d.unwritten()
	l := d.load("proved", nil, "churn", "cbz", "2", "1000")
	for n := range times {
		d.kill()
		if n%2 == 0 {
			d.start(small, "ELSA_FAULT=commit.transaction=enospc:20@5,segment.create=enospc:5@3")
			kerneltest.Eventually(t, "commits work", func() bool { return strings.Contains(d.said(), "commit works again") })
		} else {
			d.start(small, "ELSA_FAULT=commit.transaction=enospc@5")
			kerneltest.Eventually(t, "commits fail", func() bool { return strings.Contains(d.said(), "cannot do commit") })
			d.more("proved", 100)
		}
		if n := strings.Count(d.said(), "cannot do commit"); n != 1 {
			t.Errorf("told %d times that commits fail\n%s", n, d.said())
		}
	}
	d.kill()
	d.start(small)
	want := uint64(l.end().Processes)
	r := d.report()
	d.stop()
	st := d.stored()
	lines := unwritten + w.count(st.Meta.Position)
	lost, doubled := differ(lines, ended(st))
	less, more := differ(want, groupOf(t, r, "proved").Usage.ProcessesEnded)
	if lost+doubled+less+more != 0 {
		t.Errorf("%d lines, %d deaths on bills; %d made, %+v", lines, ended(st), want, groupOf(t, r, "proved").Usage)
	}
	row(t, "Commits and new segments that fail for 20 or for all times, then SIGKILL", times, lines, lost+less, doubled+more, "told once each time")
}
