// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"elsa/internal/journal"
	of "elsa/test/machine"
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
	rows, m := make([]journal.Row, n), of.New(start, a, testGroups)
	for i := range rows {
		m.Next(&rows[i])
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
