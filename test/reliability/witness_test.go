// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/ledger"
	"elsa/pkg/usage"
)

// witness keeps every accounting segment: it makes a hard link of each as it
// comes, so that at the end all lines the kernel ever wrote can be counted
// without the service.
type witness struct {
	t    testing.TB
	from string
	dir  string
	off  int // how often accounting was off: a number is left out each time
}

func newWitness(t testing.TB, d *daemon) *witness {
	w := &witness{t: t, from: d.segments(), dir: filepath.Join(d.dir, "witness")}
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.InotifyAddWatch(fd, w.from, unix.IN_CREATE); err != nil {
		t.Fatal(err)
	}
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer unix.Close(fd)
		buf := make([]byte, 64<<10)
		for {
			select {
			case <-end:
				return
			default:
			}
			w.keep()
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if n, _ := unix.Poll(p, 100); n > 0 {
				unix.Read(fd, buf)
			}
		}
	}()
	t.Cleanup(func() { close(end); <-done })
	return w
}

func (w *witness) keep() {
	names, _ := filepath.Glob(filepath.Join(w.from, "*.acct"))
	for _, name := range names {
		os.Link(name, filepath.Join(w.dir, filepath.Base(name)))
	}
}

// count returns the number of deaths on file before a position. The segments
// must be there from the first, but for the numbers that are left out.
func (w *witness) count(to ledger.Position) (n uint64) {
	w.t.Helper()
	w.keep()
	left := w.off
	for number := uint64(1); number <= to.Segment; number++ {
		b, err := os.ReadFile(filepath.Join(w.dir, fmt.Sprintf("%010d.acct", number)))
		if errors.Is(err, fs.ErrNotExist) && left > 0 {
			left--
			continue
		}
		if err != nil {
			w.t.Fatalf("the witness missed a segment: %v", err)
		}
		if number == to.Segment {
			b = b[:min(to.Offset, int64(len(b)))]
		}
		for ; len(b) >= acct.BSDSize; b = b[acct.BSDSize:] {
			// A line with memory, or of a process that never executed: the
			// others are about living callers of acct(2).
			if b[36] != 0 || b[37] != 0 || b[0]&acct.FlagFork != 0 {
				n++
			}
		}
	}
	return n
}

// stored reads the database of a stopped service.
func (d *daemon) stored() *store.State {
	d.t.Helper()
	db, err := store.Open(d.database(), time.Now())
	if err != nil {
		d.t.Fatal(err)
	}
	defer db.Close()
	if err := db.Verify(); err != nil {
		d.t.Fatalf("verify database: %v", err)
	}
	st, err := db.Load()
	if err != nil {
		d.t.Fatal(err)
	}
	return st
}

// ended is the number of deaths on all bills.
func ended(st *store.State) (n uint64) {
	for i := range st.Sets {
		n += st.Sets[i].Usage[usage.Ended]
	}
	return n
}
