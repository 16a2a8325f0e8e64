// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"elsa/internal/kerneltest"
	"elsa/pkg/ledger"
)

// size is what the accounting segments take on disk.
func (d *daemon) size() (n int64) {
	names, _ := filepath.Glob(filepath.Join(d.segments(), "*"))
	for _, name := range names {
		if fi, err := os.Stat(name); err == nil {
			n += fi.Size()
		}
	}
	return n
}

// elsad is dead for good: the guard of the unit switches accounting off, and the
// kernel writes no more. The lines until then are on bills when it is back.
func TestKernelGuard(t *testing.T) {
	needKernel(t)
	times := 3
	if soak() {
		times = 20
	}
	d := newDaemon(t, t.TempDir(), "--commit-interval", "100ms")
	w := newWitness(t, d)
	d.start(small)
	unwritten := d.unwritten()
	var want uint64
	for range times {
		l := d.load("proved", nil, "churn", "cbz", "2", "1000")
		d.report()
		d.kill()
		d.written(20)
		want += uint64(l.end().Processes)
		before := d.size()
		exec.Command("true").Run()
		if d.size() == before {
			t.Error("accounting is off after a crash")
		}
		if out, err := exec.Command(filepath.Join(bin, "elsad"), "--stop-accounting", "--state-dir", d.state()).CombinedOutput(); err != nil {
			t.Fatalf("guard: %v: %s", err, out)
		}
		w.off++
		before = d.size()
		exec.Command("true").Run()
		if d.size() != before {
			t.Error("accounting is on after the guard")
		}
		d.start(small)
	}
	r := d.report()
	d.stop()
	st := d.stored()
	lines := unwritten + w.count(st.Meta.Position)
	lost, _ := differ(lines, ended(st))
	less, doubled := differ(want, groupOf(t, r, "proved").Usage.ProcessesEnded)
	if lost+less+doubled != 0 {
		t.Errorf("%d lines, %d deaths on bills; %d made, %+v", lines, ended(st), want, groupOf(t, r, "proved").Usage)
	}
	row(t, "Dead for long: the guard switches accounting off", times, want, lost+less, doubled, "all until then are on the bill")
}

// The guard switches accounting off also when the database is damaged: just then
// no elsad starts any more.
func TestKernelGuardDamaged(t *testing.T) {
	needKernel(t)
	d := newDaemon(t, t.TempDir())
	d.start()
	d.ctl("group", "create", "kept")
	d.kill()
	good, err := os.ReadFile(d.database())
	if err != nil {
		t.Fatal(err)
	}
	grows := func() bool {
		before := d.size()
		exec.Command("true").Run()
		return d.size() != before
	}
	tried := 0
	for _, spoiled := range [][]byte{make([]byte, len(good)), good[:5000], {}, nil} {
		if spoiled == nil {
			err = os.Remove(d.database())
		} else {
			err = os.WriteFile(d.database(), spoiled, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if !grows() {
			t.Fatal("accounting is off after a crash")
		}
		if out, err := exec.Command(filepath.Join(bin, "elsad"), "--stop-accounting", "--state-dir", d.state()).CombinedOutput(); err != nil || grows() {
			t.Errorf("with a database of %d bytes accounting is on: %v: %s", len(spoiled), err, out)
		}
		if err := os.WriteFile(d.database(), good, 0o600); err != nil {
			t.Fatal(err)
		}
		d.start()
		if groupOf(t, d.report(), "kept").Name != "kept" {
			t.Error("the backup is not taken over")
		}
		d.kill()
		if good, err = os.ReadFile(d.database()); err != nil {
			t.Fatal(err)
		}
		tried++
	}
	row(t, "… with a database that is damaged, cut, empty or gone", tried, 0, 0, 0, "accounting is off; a backup goes on")
}

// Nobody takes the lines, as nothing can be committed. The segments stop growing
// at their bound; deaths go on the bills without a line, and when commits work
// accounting goes on.
func TestKernelBacklogBound(t *testing.T) {
	needKernel(t)
	const bound = 128 << 10
	d := newDaemon(t, t.TempDir(), "--commit-interval", "100ms")
	d.start(fmt.Sprintf("ELSA_FAULT_SIZES=segment=16384,total=%d", bound), "ELSA_FAULT=commit.transaction=enospc:80@10")
	l := d.load("proved", nil, "churn", "cbz", "2", "1000")
	stop := overrun(t)
	largest := int64(0)
	kerneltest.Eventually(t, "commits work", func() bool {
		largest = max(largest, d.size())
		return strings.Contains(d.said(), "commit works again")
	})
	stop()
	kerneltest.Eventually(t, "accounting is on again", func() bool { return strings.Contains(d.said(), "accounting segments works again") })
	want := uint64(l.end().Processes)
	d.report()
	got := groupOf(t, d.report(), "proved").Usage.ProcessesEnded
	s := d.status()
	d.stop()
	// A commit interval's lines come on top, until the bound is looked at.
	if largest < bound || largest > 3*bound {
		t.Errorf("the segments took up to %d bytes; the bound is %d", largest, bound)
	}
	if !strings.Contains(d.said(), ledger.ErrBacklogFull.Error()) || s.Records.MissingLedger == 0 {
		t.Errorf("the bound was not reached; %d deaths without a line", s.Records.MissingLedger)
	}
	lost, doubled := differ(want, got)
	if lost+doubled != 0 {
		t.Errorf("%d made, %d ended", want, got)
	}
	row(t, "… the segments at their bound, as nothing can be committed", 1, want, lost, doubled,
		fmt.Sprintf("%d KiB at most, bound %d; %d deaths without a line", largest>>10, bound>>10, s.Records.MissingLedger))
}

// Another program takes accounting from a running elsad, which says so and goes
// on without lines, and leaves the other's accounting alone, also at its end.
func TestKernelTakenOver(t *testing.T) {
	needKernel(t)
	d := newDaemon(t, t.TempDir(), "--commit-interval", "100ms")
	d.start()
	l := d.load("proved", nil, "churn", "cbzod", "2", "1000")
	theirs := filepath.Join(t.TempDir(), "pacct")
	accton(t, theirs)
	kerneltest.Eventually(t, "elsad says so", func() bool { return strings.Contains(d.said(), "to another file") && d.status().Sources.Suspended })
	if s := d.status().Sources; !strings.Contains(s.SuspendedCause, "another program") || time.Since(s.SuspendedSince) > time.Minute {
		t.Errorf("suspended since %v: %s", s.SuspendedSince, s.SuspendedCause)
	}
	d.without(50)
	want := uint64(l.end().Processes)
	d.report()
	got := groupOf(t, d.report(), "proved").Usage.ProcessesEnded
	s := d.status()
	d.stop()
	grows := func() bool {
		before, err := os.Stat(theirs)
		if err != nil {
			t.Fatal(err)
		}
		exec.Command("true").Run()
		after, err := os.Stat(theirs)
		return err == nil && after.Size() > before.Size()
	}
	if !grows() {
		t.Error("the other's accounting is off after elsad's end")
	}
	d.launch()
	select {
	case <-d.exited:
	case <-time.After(kerneltest.Patience):
		d.kill()
		t.Error("elsad starts though accounting is another's")
	}
	if said := d.said(); d.cmd.ProcessState.ExitCode() != 1 || strings.Count(said, "\n") != 1 || !strings.Contains(said, "it belongs to another program") {
		t.Errorf("%v: %s", d.cmd.ProcessState, said)
	}
	if !grows() {
		t.Error("the other's accounting is off after elsad was refused")
	}
	lost, doubled := differ(want, got)
	if lost+doubled != 0 {
		t.Errorf("%d made, %d ended", want, got)
	}
	row(t, "Accounting taken by another program", 1, want, lost, doubled,
		fmt.Sprintf("%d without a line; the other's stays on, and a new elsad is refused", s.Records.MissingLedger))
}
