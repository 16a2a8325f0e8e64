// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"elsa/internal/journal"
	"elsa/pkg/usage"
)

var testSource = [16]byte{0x11, 0x22, 0x33}

// start is an hour before midnight.
var start = time.Date(2026, 11, 28, 23, 0, 0, 0, time.UTC)

var testGroups = []*journal.Groups{
	{Names: []string{"ci"}}, {Names: []string{"build/17", "ci"}}, {}, {Unattributed: true}, {Names: []string{"web"}},
}

// machine returns n rows of a machine that builds software: compilers under drivers
// under make, some of it in groups. Every a processes end in a second.
func machine(n, a int) []journal.Row {
	r := rand.New(rand.NewPCG(3, 4))
	commands := []string{"cc1", "as", "collect2", "ld", "gcc", "sh", "make", "sed", "grep", "cat", "rm", "mkdir", "cp", "expr", "python3"}
	rows := make([]journal.Row, n)
	now, pid := start.UnixNano(), int32(20000)
	parent, parentStart := int32(1), int64(0)
	for i := range rows {
		now += int64(r.ExpFloat64() * 1e9 / float64(a))
		pid++
		if r.IntN(8) == 0 && i > 50 {
			p := &rows[i-1-r.IntN(50)]
			parent, parentStart = p.PPID, p.ParentStart
			if r.IntN(2) == 0 {
				parent, parentStart = pid-int32(r.IntN(30)), now-int64(r.ExpFloat64()*5e8)
			}
		}
		lived := int64(r.ExpFloat64() * 3e7)
		x := &rows[i]
		*x = journal.Row{Seq: uint64(i + 1), PID: pid, PPID: parent, Start: now - lived, End: now, ParentStart: parentStart,
			Groups: testGroups[min(int(r.ExpFloat64()*1.2), len(testGroups)-1)], UID: uint32(1000 + min(int(r.ExpFloat64()), 3)), GID: 1000, Exited: true, Precision: journal.Exact}
		x.User = "user" + strconv.Itoa(int(x.UID))
		copy(x.Comm[:], commands[min(int(r.ExpFloat64()*4), len(commands)-1)])
		switch r.IntN(40) {
		case 0, 1:
			x.Status = 1 << 8
		case 2:
			x.Status = 9
		case 3:
			x.Part, x.Exited, x.Precision = 1, false, journal.Partial
		}
		cpu := min(uint64(r.ExpFloat64()*1.5e7), uint64(lived))
		x.Measure = usage.Measure{usage.User: cpu * 7 / 10, usage.System: cpu - cpu*7/10, usage.Elapsed: uint64(lived),
			usage.MinorFaults: uint64(80 + r.ExpFloat64()*400), usage.ReadChars: uint64(r.ExpFloat64() * 60000),
			usage.WriteChars: uint64(r.ExpFloat64()*3000) * uint64(r.IntN(2)), usage.MaxRSS: uint64(900+r.ExpFloat64()*6000) << 10,
			usage.VoluntarySwitches: uint64(r.ExpFloat64() * 3), usage.InvoluntarySwitches: uint64(r.ExpFloat64()),
			usage.CPUDelay: uint64(r.ExpFloat64() * 80000)}
		if r.IntN(10) == 0 {
			x.Measure[usage.WriteBytes] = uint64(r.IntN(100)) << 12
		}
	}
	return rows
}

// write writes rows to the journal of a new archive, a segment of size rows each, all
// settled, with an empty segment after them.
func write(t testing.TB, rows []journal.Row, size int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, journal.Subdir), 0o700); err != nil {
		t.Fatal(err)
	}
	now := start
	j, err := journal.Open(journal.Options{Dir: filepath.Join(dir, journal.Subdir), Source: testSource, Host: "node1", MaxAge: time.Hour, MaxBytes: 1 << 40}, journal.Position{}, 1, now)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for i := range rows {
		j.Row(&rows[i])
		if (i+1)%size == 0 || i == len(rows)-1 {
			now = now.Add(time.Hour)
			j.Flush(now)
			j.Committed()
		}
	}
	last := rows[len(rows)-1]
	last.Seq++
	j.Settled(last.Seq - 1)
	j.Row(&last)
	j.Flush(now.Add(time.Hour))
	j.Committed()
	if j.Err() != nil {
		t.Fatal(j.Err())
	}
	return dir
}
