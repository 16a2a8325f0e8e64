// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"elsa/internal/query"
)

// listName is a file that says what is in the archive, so that what somebody deletes is
// missed: a line for each sealed file, and for each segment of which rows are missing.
// Files may be there that are not in it: a writer was killed, or is about to remove them.
const listName = "files"

// listed is a line of the list: a file of a day, or, if missing is not 0, how many rows a
// segment, or some, should have had on that day and later, at least; or, if the name begins
// with fixesOf, how many better figures of rows. The last line is the CRC-32C of those
// before.
type listed struct {
	day, name string
	missing   uint64
}

func (e *listed) path(dir string) string { return filepath.Join(dayDir(dir, e.day), e.name) }

// fixesOf begins the names of segments of which better figures are missing.
const fixesOf = "fixes-of-"

// readList returns the list of the archive in dir; ok tells whether there is one.
func readList(dir string) (list []listed, ok bool, err error) {
	f, err := os.Open(filepath.Join(dir, listName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read archive: %w", err)
	}
	defer f.Close()
	damaged := fmt.Errorf("read archive: file %s is damaged: remove it, and it is made anew of the files that are there", listName)
	sum := crc32.New(castagnoli)
	for lines := bufio.NewScanner(f); len(list) < maxFiles && lines.Scan(); {
		var e listed
		if lines.Text() == checksumLine(sum.Sum32()) && !lines.Scan() && lines.Err() == nil {
			return list, true, nil
		}
		if _, err := fmt.Sscanf(lines.Text(), "%10s %s %d", &e.day, &e.name, &e.missing); err != nil || strings.Contains(e.name, "/") {
			return nil, true, damaged
		}
		fmt.Fprintln(sum, lines.Text())
		list = append(list, e)
	}
	return nil, true, damaged
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksumLine(sum uint32) string { return fmt.Sprintf("crc32c %08x", sum) }

func writeList(dir string, list []listed) error {
	var b bytes.Buffer
	for _, e := range list {
		fmt.Fprintf(&b, "%s %s %d\n", e.day, e.name, e.missing)
	}
	fmt.Fprintln(&b, checksumLine(crc32.Checksum(b.Bytes(), castagnoli)))
	return writeFile(dir, listName, b.Bytes())
}

// enlist puts what was made of a segment in the list.
func enlist(dir string, made []listed) error {
	list, ok, err := readList(dir)
	if err != nil {
		return err
	}
	if !ok {
		files, err := Files(dir)
		if err != nil {
			return err
		}
		for _, f := range files {
			list = append(list, listed{day: f.Day, name: filepath.Base(f.Path)})
		}
	}
	for _, e := range made {
		if !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	return writeList(dir, list)
}

// delist takes files off the list before they are removed, and what is missing of days
// before first.
func delist(dir string, removed []File, first string) error {
	list, ok, err := readList(dir)
	if err != nil || !ok {
		return err
	}
	gone := map[string]bool{}
	for _, f := range removed {
		gone[f.Path] = true
	}
	was := len(list)
	list = slices.DeleteFunc(list, func(e listed) bool { return gone[e.path(dir)] || e.missing > 0 && e.day < first })
	if len(list) == was {
		return nil
	}
	return writeList(dir, list)
}

// inDays tells whether a query may ask for rows of a day.
func inDays(q *query.Query, day string) bool {
	return (q.Since.IsZero() || day >= q.Since.UTC().Format(time.DateOnly)) && (q.Until.IsZero() || day <= q.Until.UTC().Format(time.DateOnly))
}

// missing tells what should be there and is not. files are those that were listed after
// the list was read.
func (x *Scanner) missing(q *query.Query, list []listed, ok bool, files []File) {
	if !ok {
		// The first file may have come after the list was looked for, and after the list.
		if _, ok, _ = readList(x.Dir); !ok && len(files) > 0 {
			x.damaged(fmt.Errorf("read archive: there is no file %s: nobody knows whether something is missing", listName), ever)
		}
		return
	}
	there := map[string]bool{}
	for _, f := range files {
		there[f.Path] = true
	}
	var again []listed
	for i := range list {
		e := &list[i]
		switch {
		case !inDays(q, e.day):
		case strings.HasPrefix(e.name, fixesOf):
			x.damaged(fmt.Errorf("read archive: better figures of %d rows of about %s are missing: they could not be written", e.missing, e.day), lastDay(e, files))
		case e.missing > 0:
			x.damaged(fmt.Errorf("read archive: %d rows of about %s are missing, or more: they could not be written, or not be read when %s of the journal was sealed", e.missing, e.day, e.name), lastDay(e, files))
		case !there[e.path(x.Dir)]:
			if again == nil { // it may have been removed as old meanwhile
				again, _, _ = readList(x.Dir)
			}
			if slices.Contains(again, *e) {
				x.damaged(fmt.Errorf("read archive: file %s is gone, and nothing of it is in the answer", e.path(x.Dir)), endOf(e.day))
			}
		}
	}
}

// gap are segments of the journal that are neither sealed nor there: somebody deleted
// them, or there was no room for them.
type gap struct{ first, last uint64 }

func (g gap) err() error {
	return fmt.Errorf("read archive: %s of the journal is gone, and nothing of it is in the answer", g.name())
}

func (g gap) name() string {
	if g.first == g.last {
		return segmentName(g.first)
	}
	return fmt.Sprintf("segments-%d-%d", g.first, g.last)
}

func segmentName(n uint64) string { return fmt.Sprintf("segment-%d", n) }

// lastListed is the number of the last segment that was sealed, by the list and by what is
// said to be sealed, of which either may be lost.
func lastListed(list []listed, sealed uint64) uint64 {
	for _, e := range list {
		name := strings.TrimPrefix(e.name, "segment-")
		if e.missing == 0 {
			f := File{Path: e.name}
			name = f.madeOf()
			name = name[max(len(name)-10, 0):]
		}
		if n, err := strconv.ParseUint(name, 10, 64); err == nil {
			sealed = max(sealed, n)
		}
	}
	return sealed
}

// gaps are those among segments that are not sealed; last is the last that is.
func gaps(segments []uint64, last uint64) (all []gap) {
	for _, n := range segments {
		if n > last+1 {
			all = append(all, gap{last + 1, n - 1})
		}
		last = max(last, n)
	}
	return all
}
