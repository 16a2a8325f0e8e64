// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"elsa/pkg/acct"
)

// rotated opens the files that rotation may have made of the followed one.
func (f *Follower) rotated() []*os.File {
	for range 500 {
		var files []*os.File
		before := f.siblings()
		for name := range before {
			if file, err := openTrusted(filepath.Join(filepath.Dir(f.path), name)); err == nil {
				files = append(files, file)
			}
		}
		if maps.Equal(before, f.siblings()) {
			return files
		}
		closeAll(files) // renamed meanwhile: some may be missing, others double
	}
	f.skip.Gaps++ // no rotation has so many steps
	return nil
}

// siblings lists the files whose names begin like the followed one's, with
// their inodes.
func (f *Follower) siblings() map[string]uint64 {
	base := filepath.Base(f.path)
	entries, _ := os.ReadDir(filepath.Dir(f.path)) // none can be seen: none are found
	found := make(map[string]uint64)
	for _, e := range entries {
		if name := e.Name(); name != base && strings.HasPrefix(name, base) {
			if fi, err := e.Info(); err == nil {
				found[name] = fi.Sys().(*syscall.Stat_t).Ino
			}
		}
	}
	return found
}

func closeAll(files []*os.File) {
	for _, file := range files {
		file.Close()
	}
}

// findRotated opens the file that has the bytes before m: the one of the given
// inode, or else the largest, a copy. It is nil if there is none, or if m has no
// bytes to go by and no file has the inode. The file of inode not is passed over.
func (f *Follower) findRotated(inode uint64, m mark, not uint64) (found *os.File) {
	var largest int64
	for _, file := range f.rotated() {
		st, err := statFile(file)
		same := st.ino == inode
		if err != nil || st.ino == not || !same && m.sum == 0 || st.size <= largest || !m.matches(file) {
			file.Close()
			continue
		}
		if found != nil {
			found.Close()
		}
		found, largest = file, st.size
		if same {
			largest = math.MaxInt64 // nothing is better
		}
	}
	return found
}

// between opens the files that were written after one file of the chain and
// before the next, in that order, by what is in them. Of those it cannot read
// from anywhere, being compressed, it tells how much is in them.
func (f *Follower) between(old *os.File, next *followed) (files []*os.File, packed []deaths) {
	after, ok := span(old)
	if !ok {
		return nil, nil
	}
	before, bounded := span(next.file)
	spans := make(map[*os.File]deaths)
	known := append([]uint32{next.head}, f.gone...) // what is not to be read again
	for _, w := range f.files {
		known = append(known, w.head)
	}
	for _, file := range f.rotated() {
		s, ok := span(file)
		isPacked := false
		if !ok {
			s, isPacked = packedSpan(file)
		}
		// One second, as the times are that uncertain.
		if !ok && !isPacked || s.changed.Before(after.changed) || s.first < after.last-1 ||
			bounded && s.first > before.first+1 || slices.Contains(known, s.head) {
			file.Close()
			continue
		}
		known = append(known, s.head)
		if isPacked {
			packed = append(packed, s)
			file.Close()
			continue
		}
		spans[file] = s
		files = append(files, file)
	}
	slices.SortFunc(files, func(a, b *os.File) int {
		return cmp.Or(cmp.Compare(spans[a].first, spans[b].first), spans[a].changed.Compare(spans[b].changed))
	})
	return files, packed
}

// deaths describes the records of a file.
type deaths struct {
	head        uint32 // checksum of the first line
	first, last int64  // when the first and the last process ended, in seconds of the epoch
	records     uint64
	changed     time.Time // when the file was last written to
}

// span describes an accounting file. It is false if it does not begin with a
// record.
func span(file *os.File) (d deaths, ok bool) {
	fi, err := file.Stat()
	if err != nil {
		return d, false
	}
	var line [acct.BSDSize]byte
	if _, err := file.ReadAt(line[:], 0); err != nil {
		return d, false
	}
	if d.first, ok = diedAt(&line); !ok {
		return d, false
	}
	d.head = checksum(line[:])
	d.last = d.first
	d.changed = fi.ModTime()
	d.records = uint64(fi.Size()) / acct.BSDSize
	if _, err := file.ReadAt(line[:], int64(d.records-1)*acct.BSDSize); err == nil {
		if at, ok := diedAt(&line); ok {
			d.last = at
		}
	}
	return d, true
}

// packedSpan describes an accounting file under gzip, but for its end.
func packedSpan(file *os.File) (d deaths, ok bool) {
	fi, err := file.Stat()
	if err != nil {
		return d, false
	}
	z, err := gzip.NewReader(io.NewSectionReader(file, 0, fi.Size()))
	if err != nil {
		return d, false
	}
	var line [acct.BSDSize]byte
	if _, err := io.ReadFull(z, line[:]); err != nil {
		return d, false
	}
	// A gzip file ends with the size of what is in it, RFC 1952.
	var size [4]byte
	if _, err := file.ReadAt(size[:], fi.Size()-4); err != nil {
		return d, false
	}
	d.changed = fi.ModTime()
	d.records = uint64(binary.LittleEndian.Uint32(size[:])) / acct.BSDSize
	d.head = checksum(line[:])
	d.first, ok = diedAt(&line)
	return d, ok
}

// diedAt is when the process of a version 3 line ended.
func diedAt(line *[acct.BSDSize]byte) (int64, bool) {
	var r acct.Record
	if !acct.HasPID(line) || acct.DecodeBSD(line[:], &r) != nil {
		return 0, false
	}
	return r.Begin + int64(r.Elapsed/time.Second), true
}

// truncated deals with a file of the chain that has lost what was read from it,
// or was there to be read: the rest is in the copy made of it, or lost.
func (f *Follower) truncated(i int) {
	f.skip.Gaps++
	w := f.files[i]
	read := int64(0)
	if f.pos.Segment == w.number {
		read = f.pos.Offset
	}
	again := w.file
	if rest := f.findRest(w, read); rest != nil {
		w.file = rest
	} else {
		f.skip.Lost += uint64(max(w.size-read, 0)) / acct.BSDSize
		f.files = slices.Delete(f.files, i, i+1)
		f.forget(w.head)
	}
	if w.number == f.last {
		f.append(again)
	} else {
		again.Close() // the kernel is elsewhere already
	}
}

// findRest opens the copy of a file that was cut, if all that was read is in it.
func (f *Follower) findRest(w *followed, read int64) *os.File {
	was, err := statFile(w.file)
	if err != nil {
		return nil
	}
	rest := f.findRotated(0, mark{0, w.head}, was.ino)
	if rest == nil {
		return nil
	}
	if st, err := statFile(rest); err != nil || st.size < read {
		rest.Close()
		return nil
	}
	return rest
}

// forget remembers just enough of a file not to take it, or a copy of it, for
// a new one.
func (f *Follower) forget(head uint32) {
	f.gone = append(f.gone, head)
	f.gone = f.gone[max(0, len(f.gone)-100):]
}
