// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"elsa/internal/fault"
)

// maxSegments bounds how many segments are looked at.
const maxSegments = 1 << 16

// LastSealed is the number of the last segment of the journal of an archive that was
// sealed, or 0. The file that says it is of a program without rights: it is believed in
// this alone. What is damaged is an error, and 0: then all that is in the journal is taken
// for not sealed, which is sealed once more to the same bytes.
func LastSealed(archive string) (uint64, error) {
	f, err := os.OpenFile(filepath.Join(archive, SealedName), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read archive: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0, fmt.Errorf("read archive: %w", err)
	}
	text, _, _ := bytes.Cut(b, []byte{' '})
	n, err := strconv.ParseUint(string(text), 10, 32) // far from what ten digits can name
	if err != nil || !bytes.Equal(b, SealedText(n)) {
		return 0, fmt.Errorf("read archive: file %s is damaged: elsa-archive makes it anew", SealedName)
	}
	return n, nil
}

// SealedText is what the file of LastSealed has: the number, and its CRC-32C.
func SealedText(n uint64) []byte {
	b := strconv.AppendUint(nil, n, 10)
	return fmt.Appendf(b, " %08x\n", crc32.Checksum(b, castagnoli))
}

// List returns the numbers of the segments in dir, ascending. A directory that is not
// there has none.
func List(dir string) ([]uint64, error) {
	d, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list journal: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(maxSegments)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("list journal: %w", err)
	}
	var list []uint64
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, suffix)
		if n, err := strconv.ParseUint(digits, 10, 64); ok && err == nil && len(digits) == 10 {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list, nil
}

// Release removes segments that were sealed, up to a number.
func (j *Journal) Release(sealed uint64) error {
	j.options.Sealed = max(j.options.Sealed, sealed)
	list, err := List(j.options.Dir)
	for _, n := range list {
		if n <= sealed && n < j.committed.Segment {
			fault.Point(fault.JournalRelease)
			err = errors.Join(err, os.Remove(segmentPath(j.options.Dir, n)))
			fault.Point(fault.JournalReleased)
		}
	}
	return err
}

// makeRoom removes the oldest segments where there are too many for another.
func (j *Journal) makeRoom() {
	list, _ := List(j.options.Dir)
	var sum int64
	sizes := make([]int64, len(list))
	for i, n := range list {
		if st, err := os.Lstat(segmentPath(j.options.Dir, n)); err == nil {
			sizes[i] = st.Size()
			sum += st.Size()
		}
	}
	for i := 0; i < len(list) && sum > j.options.MaxBytes; i++ {
		lost := Lost{}
		if list[i] > j.options.Sealed {
			if s, err := OpenSegment(j.options.Dir, list[i]); err == nil {
				s.Read(&Visitor{Row: func(*Row) { lost.Rows++ }})
				s.Close()
			}
		}
		if os.Remove(segmentPath(j.options.Dir, list[i])) == nil {
			sum -= sizes[i]
			j.counts.Lost.Add(lost)
		}
	}
}

// SyncDir makes what was made, renamed or removed in a directory safe on disk.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
