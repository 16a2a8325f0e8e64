// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"elsa/internal/journal"
	"elsa/internal/kerneltest"
)

// ask is what elsactl tells of an archive, and what it complains of: it ends with status
// 1 then.
func (d *daemon) ask(archive string) (rows archiveRows, said string) {
	d.t.Helper()
	cmd := d.command("processes", "--archive-dir", archive, "-o", "json")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if jsonErr := json.Unmarshal(out, &rows); jsonErr != nil || (err != nil) != (stderr.Len() > 0) {
		d.t.Fatalf("elsactl processes: %v, %v: %s", err, jsonErr, &stderr)
	}
	return rows, stderr.String()
}

// tail is the last segment of the journal.
func (a *keeper) tail() (path string, number uint64) {
	a.t.Helper()
	list, err := journal.List(filepath.Join(a.dir, journal.Subdir))
	if err != nil || len(list) == 0 {
		a.t.Fatal("no journal: ", err)
	}
	number = list[len(list)-1]
	return filepath.Join(a.dir, journal.Subdir, fmt.Sprintf("%010d.journal", number)), number
}

var missingRows = regexp.MustCompile(`: (\d+) rows (?:of about \S+ )?are missing`)

// The disk of the archive is full, again and again. Bills go on; rows are dropped and
// counted, and whoever asks is told how many are missing, to the row. What is there adds
// up to no more than the history.
func TestKernelArchiveDiskFull(t *testing.T) {
	needKernel(t)
	times := 2
	if soak() {
		times = 10
	}
	disk := newDisk(t, "2m")
	a := newArchive(t)
	a.dir = disk.dir
	d := newDaemon(t, t.TempDir(), "--commit-interval", "50ms", "--journal", "on", "--archive-dir", a.dir)
	d.start(small + settled + ",rows=100")
	l := d.load("proved", nil, "churn", "cbzod", "2", "2000")
	a.launch()
	lost := func() uint64 { return uint64(d.status().Journal.Lost) }
	for range times {
		was := lost()
		rows, _ := d.ask(a.dir)
		disk.fill()
		kerneltest.Eventually(t, "rows are lost", func() bool { return lost() > was+100 })
		disk.free()
		sealed := a.sealed()
		kerneltest.Eventually(t, "rows are written again", func() bool { now, _ := d.ask(a.dir); return len(now) > len(rows)+200 })
		kerneltest.Eventually(t, "segments are sealed again", func() bool { return a.sealed() > sealed })
	}
	want := uint64(l.end().Processes)
	r := d.report()
	d.committed()
	n := lost()
	d.stop()
	a.kill()
	st := d.stored()
	rows, said := d.ask(a.dir)
	deaths, doubled := rows.deaths(t)
	missing := uint64(0)
	for _, m := range missingRows.FindAllStringSubmatch(said, -1) {
		k, _ := strconv.ParseUint(m[1], 10, 64)
		missing += k
	}
	if all := ended(st); deaths+missing != all || n < missing {
		t.Errorf("%d deaths on bills, %d rows, %d told to be missing, %d rows and fixes lost: %s", all, deaths, missing, n, said)
	}
	if got := groupOf(t, r, "proved").Usage.ProcessesEnded; got != want {
		t.Errorf("%d made, %d on the bill", want, got)
	}
	rows.within(t, d, st)
	row(t, "The disk of the archive full, again and again", times, ended(st), 0, doubled,
		fmt.Sprintf("all on bills; %d rows are missing, as it is told", missing))
}

// Somebody, or the disk, damages the journal under a service that runs, or that was
// killed: rows are missing, and what is missing is named. What is there is as it was.
func TestKernelArchiveDamaged(t *testing.T) {
	needKernel(t)
	a := newArchive(t)
	d := newDaemon(t, t.TempDir(), "--commit-interval", "50ms", "--journal", "on", "--archive-dir", a.dir)
	d.start(small)
	l := d.load("proved", nil, "churn", "cbz", "2", "1000")
	more := func(n uint64) { t.Helper(); d.more("proved", n); d.report(); d.committed() }
	more(200)

	d.kill()
	path, _ := a.tail()
	st, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, st.Size()-1000)
	}
	if err != nil {
		t.Fatal(err)
	}
	torn, said := d.ask(a.dir)
	if said != "" {
		t.Errorf("what is not written yet is told to be damaged: %s", said)
	}
	d.start(small)
	more(200)
	if !strings.Contains(d.said(), "rows are missing") {
		t.Errorf("elsad does not say that the journal is torn: %s", d.said())
	}
	if rows, said := d.ask(a.dir); !missingRows.MatchString(said) || len(rows) <= len(torn) {
		t.Errorf("%d rows, %d when it was torn: %s", len(rows), len(torn), said)
	}

	path, number := a.tail()
	if os.Remove(path) != nil {
		t.Fatal("no ", path)
	}
	more(200)
	if _, said := d.ask(a.dir); !strings.Contains(said, fmt.Sprintf("segment-%d of the journal is gone", number)) {
		t.Errorf("a segment that was deleted: %s", said)
	}

	path, number = a.tail()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := len(b) / 2
	if _, err := f.WriteAt([]byte{b[at] ^ 0x10}, int64(at)); err != nil {
		t.Fatal(err)
	}
	rows, said := d.ask(a.dir)
	if !strings.Contains(said, fmt.Sprintf("read journal segment %d: bytes", number)) || len(rows) <= len(torn) {
		t.Errorf("%d rows, a byte flipped: %s", len(rows), said)
	}
	want := uint64(l.end().Processes)
	r := d.report()
	d.stop()
	if got := groupOf(t, r, "proved").Usage.ProcessesEnded; got != want {
		t.Errorf("%d made, %d on the bill", want, got)
	}
	rows, _ = d.ask(a.dir)
	deaths, doubled := rows.deaths(t)
	state := d.stored()
	rows.within(t, d, state)
	row(t, "The journal torn, a segment of it deleted, a byte of it flipped", 3, ended(state), 0, doubled,
		fmt.Sprintf("all on bills; %d rows can be read, and are right; each damage is named", deaths))
}

// The wall clock is set back by three days, and right again. Rows are found under the time
// that the clock showed; they add up to the history; and the tree of a process that lived
// over it holds together. Nothing is told to be missing.
func TestKernelArchiveClockBack(t *testing.T) {
	kerneltest.Need(t, stepsClock)
	needKernel(t)
	const back = 72 * time.Hour
	a := newArchive(t)
	d := newDaemon(t, t.TempDir(), "--commit-interval", "50ms", "--journal", "on", "--archive-dir", a.dir)
	d.start(small + settled + ",rows=50")
	a.launch()
	l := d.load("proved", nil, "churn", "cbz", "2", "1000")
	set := clockSetter(t)
	began := time.Now()
	for _, by := range []time.Duration{0, -back, back} {
		if by != 0 {
			set(by)
		}
		d.more("proved", 100)
	}
	kerneltest.Eventually(t, "all of that is sealed", func() bool { d.more("proved", 50); return a.files() > 3 })
	want := uint64(l.end().Processes)
	r := d.report()
	d.committed()
	d.stop()
	a.kill()
	st := d.stored()
	rows, said := d.ask(a.dir)
	deaths, doubled := rows.deaths(t)
	if all := ended(st); said != "" || deaths != all {
		t.Errorf("%d deaths on bills, %d rows: %s", all, deaths, said)
	}
	if got := groupOf(t, r, "proved").Usage.ProcessesEnded; got != want {
		t.Errorf("%d made, %d on the bill", want, got)
	}
	cells := rows.matchHistory(t, d, st)
	// By the time that was shown, and by descent.
	of := func(args ...string) (n uint64) {
		t.Helper()
		var some archiveRows
		args = append([]string{"processes", "--archive-dir", a.dir, "-o", "json"}, args...)
		if err := json.Unmarshal([]byte(d.ctl(args...)), &some); err != nil {
			t.Fatal(err)
		}
		for i := range some {
			if some[i].Part == 0 {
				n++
			}
		}
		return n
	}
	then := of("--group", "proved", "--until", began.Add(-back/2).UTC().Format(time.RFC3339))
	if then < 100 || then > want-100 {
		t.Errorf("%d rows of the time three days back, of %d", then, want)
	}
	if n := of("--tree", fmt.Sprint(l.cmd.Process.Pid)); n != want {
		t.Errorf("%d rows are of the tree, want %d", n, want)
	}
	row(t, "The wall clock set back by three days, and right again", 2, ended(st), 0, doubled,
		fmt.Sprintf("%d rows are found three days back; all figures as in %d cells of the history; no process is missing in the tree that lived over it", then, cells))
}
