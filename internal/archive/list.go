// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"elsa/internal/query"
)

// listName is a file that says what is in the archive, so that what somebody deletes is
// missed: a line for each sealed file, and for each segment of which rows are missing.
// Files may be there that are not in it: a writer was killed, or is about to remove them.
const listName = "files"

// listed is a line of the list: a file of a day, or, if missing is not 0, how many rows a
// segment should have had on that day and later.
type listed struct {
	day, name string
	missing   uint64
}

func (e *listed) path(dir string) string { return filepath.Join(dayDir(dir, e.day), e.name) }

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
	for lines := bufio.NewScanner(f); len(list) < maxFiles && lines.Scan(); {
		var e listed
		if _, err := fmt.Sscanf(lines.Text(), "%10s %s %d", &e.day, &e.name, &e.missing); err != nil || strings.Contains(e.name, "/") {
			return list, true, fmt.Errorf("read archive: file %s is damaged: remove it, and it is made anew of the files that are there", listName)
		}
		list = append(list, e)
	}
	return list, true, nil
}

func writeList(dir string, list []listed) error {
	var b bytes.Buffer
	for _, e := range list {
		fmt.Fprintf(&b, "%s %s %d\n", e.day, e.name, e.missing)
	}
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
		if len(files) > 0 {
			x.Damage(fmt.Errorf("read archive: there is no file %s: nobody knows whether something is missing", listName))
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
		case e.missing > 0:
			x.Damage(fmt.Errorf("read archive: %d rows of about %s are missing: they could not be written, or not be read when %s was sealed", e.missing, e.day, e.name))
		case !there[e.path(x.Dir)]:
			if again == nil { // it may have been removed as old meanwhile
				again, _, _ = readList(x.Dir)
			}
			if slices.Contains(again, *e) {
				x.Damage(fmt.Errorf("read archive: file %s is gone, and nothing of it is in the answer", e.path(x.Dir)))
			}
		}
	}
}
