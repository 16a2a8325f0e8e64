// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"elsa/pkg/acct"
)

// FuzzFollow has another program do what it likes with the accounting file, one step
// for each byte of script, of which some write text: append, cut, rename, copy and
// cut, and put something in its place that is no file of root's. Nothing of that is
// an error, the position never falls, and no more is read or skipped than was written.
func FuzzFollow(f *testing.F) {
	line := make([]byte, acct.BSDSize)
	line[1] = 3
	line[16] = 7 // a pid
	f.Add([]byte("aaa"), line)
	f.Add([]byte("arararar"), line)
	f.Add([]byte("abcraxbcaya"), append(line, 1, 2, 3))
	f.Add([]byte("aadaflamaoaua"), line[:60])
	f.Add([]byte("ahgta0123"), []byte("garbage"))
	f.Fuzz(func(t *testing.T, script, text []byte) {
		if len(script) > 64 || len(text) > 1<<12 {
			return
		}
		path := filepath.Join(t.TempDir(), "pacct")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		w, err := Follow(path, Position{})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		c := &followCheck{t: t, w: w}
		for i, op := range script {
			c.disturb(path, op, text, i)
			if i%2 == 1 {
				c.read()
			}
		}
		c.read()
		if c.read(); c.records*acct.BSDSize+c.skipped > c.written {
			t.Errorf("%d records and %d bytes skipped of %d bytes written", c.records, c.skipped, c.written)
		}
		// A new one goes on from there.
		again, err := Follow(path, c.at)
		if err != nil {
			return // the path is no file of root's now
		}
		defer again.Close()
		c.w = again
		c.read()
	})
}

type followCheck struct {
	t       *testing.T
	w       *Follower
	at      Position
	records int64
	skipped int64
	written int64
}

// disturb does one thing to the file at path.
func (c *followCheck) disturb(path string, op byte, text []byte, i int) {
	appendTo := func(b []byte) {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return
		}
		n, _ := f.Write(b)
		c.written += int64(n)
		f.Close()
	}
	switch op {
	case 'c': // cut
		os.Truncate(path, 0)
	case 'h': // cut in the middle
		os.Truncate(path, int64(len(text)/2))
	case 'g': // a hole
		if fi, err := os.Lstat(path); err == nil && fi.Mode().IsRegular() && fi.Size() < 1<<16 {
			os.Truncate(path, fi.Size()+1<<16)
			c.written += 1 << 16
		}
	case 'r': // rename
		os.Rename(path, fmt.Sprintf("%s.%d", path, i))
		os.WriteFile(path, nil, 0o600)
	case 'x':
		os.Remove(path)
	case 'd':
		os.Remove(path)
		os.Mkdir(path, 0o700)
	case 'l':
		os.Remove(path)
		os.Symlink("/dev/zero", path)
	case 'f':
		os.Remove(path)
		unix.Mkfifo(path, 0o600)
	case 'm':
		os.Chmod(path, 0o666)
	case 'o':
		os.Lchown(path, 65534, 65534)
	case 'u':
		os.Chmod(path, 0o600)
		os.Lchown(path, os.Geteuid(), os.Getegid())
	case 't': // copy and cut
		fi, err := os.Lstat(path)
		if err != nil || !fi.Mode().IsRegular() || fi.Size() > 1<<20 {
			return
		}
		if b, err := os.ReadFile(path); err == nil {
			os.WriteFile(fmt.Sprintf("%s.%d", path, i), b, 0o600)
			c.written += int64(len(b)) // the copy may be read for what it is not
		}
		os.Truncate(path, 0)
	case 'b':
		appendTo([]byte{op})
	default:
		appendTo(text)
	}
}

// read reads what there is.
func (c *followCheck) read() {
	c.t.Helper()
	end, err := c.w.End()
	if err != nil {
		c.t.Fatalf("end: %v", err)
	}
	if n := c.w.Backlog(c.at, end); n < 0 {
		c.t.Errorf("backlog of %d bytes", n)
	}
	if err := c.w.ReadBackward(c.at, end, func([]acct.Record) error { return nil }); err != nil {
		c.t.Errorf("read backward: %v", err)
	}
	pos, skipped, err := c.w.Read(c.at, end, func(records []acct.Record) error {
		c.records += int64(len(records))
		return nil
	})
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	if !c.at.IsZero() && pos.Compare(c.at) < 0 {
		c.t.Errorf("the position fell from %+v to %+v", c.at, pos)
	}
	c.skipped += int64(skipped.Bytes)
	c.at = pos
}
