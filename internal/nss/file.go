// SPDX-License-Identifier: Apache-2.0

package nss

import (
	"bytes"
	"io"
	"os"
	"strconv"
	"time"
)

// maxFile bounds what is read of /etc/passwd and /etc/group, and of an answer.
const maxFile = 16 << 20

// file is what /etc/passwd or /etc/group says, and by what its change is seen.
type file struct {
	ids   map[uint32]string
	names map[string]uint32
	size  int64
	time  time.Time
	inode os.FileInfo
}

// read reads the file if it is another than it was, and tells whether it is.
func (f *file) read(path string) (changed bool) {
	now, err := os.Stat(path)
	if err != nil || f.inode != nil && os.SameFile(f.inode, now) && f.size == now.Size() && f.time.Equal(now.ModTime()) {
		return false
	}
	in, err := os.Open(path)
	if err != nil {
		return false
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxFile))
	if err != nil {
		return false
	}
	f.size, f.time, f.inode = now.Size(), now.ModTime(), now
	f.ids, f.names = map[uint32]string{}, map[string]uint32{}
	for _, e := range parse(text) { // of lines that say the same the first counts
		if _, is := f.ids[e.id]; !is {
			f.ids[e.id] = e.name
		}
		if _, is := f.names[e.name]; !is {
			f.names[e.name] = e.id
		}
	}
	return true
}

// parse reads lines of passwd(5) or group(5): name, password, id. What is none is left
// out, as the names of other files that begin with + or -.
func parse(text []byte) (entries []entry) {
	for line := range bytes.Lines(text) {
		fields := bytes.SplitN(bytes.TrimRight(line, "\n"), []byte{':'}, 4)
		if len(fields) < 4 || len(fields[0]) == 0 || len(fields[0]) > maxName || bytes.ContainsAny(fields[0][:1], "+-#") {
			continue
		}
		id, err := strconv.ParseUint(string(fields[2]), 10, 32)
		if err != nil {
			continue
		}
		entries = append(entries, entry{string(fields[0]), uint32(id)})
	}
	return entries
}
