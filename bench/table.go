// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"elsa/pkg/groups"
	"elsa/pkg/history"
	"elsa/pkg/store"
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
// history of one. A cell is an hour of one group, user and command.
func (b *bench) growing() error {
	const many, hours, commands = 10000, 24, 20
	s, err := store.Open(filepath.Join(b.dir, "growing.db"), time.Now())
	if err != nil {
		return err
	}
	defer s.Close()
	size := func() (float64, error) {
		var n counter
		err := s.Backup(&n)
		return float64(n), err
	}
	empty, err := size()
	if err != nil {
		return err
	}
	used := usage.Usage{
		Started: 12345, Ended: 12345, User: 1234567891234, System: 234567891234, Elapsed: 9876543219876,
		MinorFaults: 12345678, MajorFaults: 1234, ReadBytes: 1 << 33, WriteBytes: 1 << 32, ReadChars: 1 << 35, WriteChars: 1 << 34,
		MaxRSS: 1 << 28, VoluntarySwitches: 123456, InvoluntarySwitches: 12345, Exact: 12345,
	}
	if err := s.Commit(func(tx *store.Tx) {
		for i := range uint32(many) {
			g := groups.Group{ID: i + 1, Name: fmt.Sprintf("user/project-%05d", i), Created: time.Now(), Labels: map[string]string{}}
			tx.PutGroup(g)
			tx.PutSet(groups.SetID(i+2), []uint32{g.ID}, &used)
		}
	}); err != nil {
		return err
	}
	withGroups, err := size()
	if err != nil {
		return err
	}
	const keepers = 100
	for hour := range uint32(hours) {
		if err := s.Commit(func(tx *store.Tx) {
			for g := range uint32(keepers) {
				for c := range commands {
					tx.PutCell(&history.Key{Hour: 480000 + hour, UID: 1000, Groups: []uint32{g + 1}, Command: fmt.Sprintf("command-%d", c)}, &used)
				}
			}
		}); err != nil {
			return err
		}
	}
	withHistory, err := size()
	if err != nil {
		return err
	}
	perDay := (withHistory - withGroups) / keepers
	b.rows = append(b.rows, row{
		what: "store: a group, whatever it runs", ours: fmt.Sprintf("%.0f bytes", (withGroups-empty)/many),
	}, row{
		what: fmt.Sprintf("store: history of a busy group, %d commands every hour (1,000 at most; kept for 90 days)", commands),
		ours: fmt.Sprintf("%.0f KB a day", perDay/1e3),
	})
	return nil
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }
