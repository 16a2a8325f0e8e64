// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/history"
	"elsa/internal/store"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// table is the rows in Markdown, under a line that says where and when.
func (b *bench) table() string {
	var s strings.Builder
	var name unix.Utsname
	_ = unix.Uname(&name) // it cannot fail
	fmt.Fprintf(&s, "Linux %s, %s, %d CPUs, %s; medians of %d, ± half the distance of the quartiles.\n\n",
		unix.ByteSliceToString(name.Release[:]), processor(), runtime.NumCPU(), time.Now().UTC().Format("2006-01-02"), b.rounds)
	s.WriteString("| what | ours | beside | ratio | limit | |\n|---|--:|--:|--:|--:|---|\n")
	for _, r := range b.rows {
		verdict := "**missed**"
		if r.ok {
			verdict = "✓"
		}
		if r.limit == "" {
			verdict = ""
		}
		fmt.Fprintf(&s, "| %s | %s | %s | %s | %s | %s |\n", r.what, r.ours, r.peer, r.ratio, r.limit, verdict)
	}
	return s.String()
}

func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// replaceBlock puts text between the marks <!-- name --> and <!-- /name --> of
// a file.
func replaceBlock(file, name, text string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(old, []byte("<!-- "+name+" -->\n"))
	_, after, closed := bytes.Cut(rest, []byte("<!-- /"+name+" -->"))
	if !found || !closed {
		return fmt.Errorf("write %s: it has no block <!-- %s --> … <!-- /%s -->", file, name, name)
	}
	new := fmt.Sprintf("%s<!-- %s -->\n%s<!-- /%s -->%s", before, name, text, name, after)
	return os.WriteFile(file, []byte(new), 0o644)
}

// growing measures what the database takes on disk: for a group, and for the
// history of one. A cell is an hour, or after a week a day, of one group, user
// and command.
func (b *bench) growing() error {
	const many, commands, hourlyDays, days = 10000, 20, 7, 90
	s, err := store.Open(filepath.Join(b.dir, "growing.db"), time.Now())
	if err != nil {
		return err
	}
	defer s.Close()
	// grown returns by how many bytes the database grows.
	grown := func(write func(tx *store.Tx)) (float64, error) {
		var before, after counter
		err := errors.Join(s.Backup(&before), s.Commit(write), s.Backup(&after))
		return float64(after - before), err
	}
	used := usage.Usage{
		usage.Started: 12345, usage.Ended: 12345, usage.User: 1234567891234, usage.System: 234567891234, usage.Elapsed: 9876543219876,
		usage.MinorFaults: 12345678, usage.MajorFaults: 1234, usage.ReadBytes: 1 << 33, usage.WriteBytes: 1 << 32, usage.ReadChars: 1 << 35, usage.WriteChars: 1 << 34,
		usage.MaxRSS: 1 << 28, usage.VoluntarySwitches: 123456, usage.InvoluntarySwitches: 12345, usage.Exact: 12345,
	}
	group, err := grown(func(tx *store.Tx) {
		for i := range uint32(many) {
			g := groups.Group{ID: i + 1, Name: fmt.Sprintf("user/project-%05d", i), Created: time.Now(), Labels: map[string]string{}}
			tx.PutGroup(g)
			tx.PutSet(groups.SetID(i+2), []uint32{g.ID}, &used)
		}
	})
	if err != nil {
		return err
	}
	// cells returns what a group's cells take, on average, of periods that
	// begin every so many hours.
	const periods, keepers = 24, 100
	cells := func(first, hours uint32) (sum float64, err error) {
		for p := range uint32(periods) {
			n, err := grown(func(tx *store.Tx) {
				for g := range uint32(keepers) {
					for c := range commands {
						tx.AddCell(&history.Key{Hour: first + p*hours, UID: 1000, Groups: []uint32{g + 1}, Command: fmt.Sprintf("command-%d", c)}, &used)
					}
				}
			})
			if err != nil {
				return 0, err
			}
			sum += n / keepers / periods
		}
		return sum, nil
	}
	hour, err := cells(480000, 1)
	if err != nil {
		return err
	}
	day, err := cells(400008, 24)
	if err != nil {
		return err
	}
	b.rows = append(b.rows, row{
		what: "store: a group, whatever it runs", ours: fmt.Sprintf("%.0f bytes", group/many),
	}, row{
		what: fmt.Sprintf("store: history of a busy group, %d commands every hour (1,000 at most)", commands),
		ours: fmt.Sprintf("%.0f KB a day for %d days, then %.1f KB: %.0f KB in all, as nothing is kept for more than %d",
			24*hour/1e3, hourlyDays, day/1e3, (hourlyDays*24*hour+(days-hourlyDays)*day)/1e3, days),
	})
	return nil
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }
