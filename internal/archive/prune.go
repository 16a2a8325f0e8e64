// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"elsa/internal/fault"
)

// File is a sealed file.
type File struct {
	Day  string // 2026-11-28
	Path string
	Size int64
}

// maxFiles bounds how many files of a day, and days, are looked at.
const maxFiles = 1 << 17

// Files lists the sealed files of the archive in dir, by day and segment.
func Files(dir string) (list []File, err error) {
	days, err := entries(dir)
	if err != nil {
		return nil, fmt.Errorf("list archive: %w", err)
	}
	for _, d := range days {
		date, ok := strings.CutPrefix(d, dayPrefix)
		if _, err := time.Parse(time.DateOnly, date); !ok || err != nil {
			continue
		}
		files, err := entries(filepath.Join(dir, d))
		if err != nil {
			return nil, fmt.Errorf("list archive: %w", err)
		}
		for _, name := range files {
			if !strings.HasSuffix(name, ".parquet") {
				continue
			}
			f := File{Day: date, Path: filepath.Join(dir, d, name)}
			if st, err := os.Lstat(f.Path); err == nil && st.Mode().IsRegular() {
				f.Size = st.Size()
				list = append(list, f)
			}
		}
	}
	return list, nil
}

func entries(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	list, err := d.Readdirnames(maxFiles)
	if len(list) == 0 {
		return nil, nil
	}
	slices.Sort(list)
	return list, err
}

// Prune removes the files of days that are more than keep days old, and then the oldest
// until the rest is not more than most bytes. A day is old only when it is so at now and
// beside the newest day there is: a clock that is wrong for a moment removes nothing.
func Prune(dir string, keep int, most int64, now time.Time) (removed []File, err error) {
	list, err := Files(dir)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	newest, _ := time.Parse(time.DateOnly, list[len(list)-1].Day)
	if now.Before(newest) {
		newest = now
	}
	first := newest.UTC().AddDate(0, 0, -keep).Format(time.DateOnly)
	sum := int64(0)
	for _, f := range list {
		sum += f.Size
	}
	n := 0
	for ; n < len(list) && (list[n].Day < first || sum > most); n++ {
		sum -= list[n].Size
	}
	if err := delist(dir, list[:n], first); err != nil {
		return nil, fmt.Errorf("prune archive: %w", err)
	}
	fault.Point(fault.PruneListed)
	for _, f := range list[:n] {
		if err := os.Remove(f.Path); err != nil {
			return removed, fmt.Errorf("prune archive: %w", err)
		}
		removed = append(removed, f)
		os.Remove(filepath.Dir(f.Path)) // fails unless it was the last of its day
	}
	return removed, nil
}

// Clean removes what a writer that was killed left behind.
func Clean(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, "day=*", "*"+tmp))
	if err == nil {
		var files []string
		files, err = filepath.Glob(filepath.Join(dir, "*"+tmp))
		left = append(left, files...)
	}
	for _, path := range left {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
