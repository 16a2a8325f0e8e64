// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"elsa/internal/cells"
	"elsa/internal/journal"
	"elsa/pkg/usage"
)

// feed is what is known of a source, and the directory of the spool that keeps it: the
// file state and the cells of hours.
type feed struct {
	dir string
	state
}

// state is what a feed has on disk. It is never ahead of the files of the spool.
type state struct {
	Source string `json:"source"`
	Host   string `json:"host"`
	Writer string `json:"writer"`
	// First and Last are those of the last manifest, zero before the first; Nonce is that
	// which is there, or Next.
	First uint64 `json:"first,omitempty"`
	Last  uint64 `json:"last,omitempty"`
	Nonce string `json:"nonce,omitempty"`
	Next  string `json:"next,omitempty"`
	// Mark is how far the history was read, and Through until when it is in items. Since
	// is the first hour that is still told.
	Mark    string    `json:"mark,omitempty"`
	Through time.Time `json:"through"`
	Since   uint32    `json:"since,omitempty"`
	// Hidden is what items do not have.
	Hidden cells.Hide `json:"hidden"`
	// Again is the last request to send again that was done.
	Again string `json:"again,omitempty"`
	// Compared is when the sink was last compared with items.
	Compared time.Time   `json:"compared"`
	Names    cells.Names `json:"names"`
	// Lost is of items that are not kept any more.
	Lost  Lost   `json:"lost"`
	Items []held `json:"items"`
}

const stateName = "state"

// newWriter is a random name.
func newWriter() string { return strings.ToLower(rand.Text()[:8]) }

// loadFeed reads the feed in a directory; one that is not there is new.
func loadFeed(dir, source string, writer func() string) (*feed, error) {
	f := &feed{dir: dir, state: state{Source: source, Writer: writer()}}
	b, err := os.ReadFile(filepath.Join(dir, stateName))
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &f.state)
	}
	if err == nil && f.Source != source {
		err = fmt.Errorf("it is of source %s", f.Source)
	}
	if err != nil {
		return nil, fmt.Errorf("read spool %s: %w; remove it, and all that elsad has is sent again", dir, err)
	}
	return f, nil
}

// save makes the state safe.
func (f *feed) save() error {
	b, err := json.Marshal(&f.state)
	if err == nil {
		err = writeSafe(filepath.Join(f.dir, stateName), b)
	}
	if err != nil {
		return fmt.Errorf("write spool: %w", err)
	}
	return nil
}

// writeSafe puts a file in the place of one, whole and safe.
func writeSafe(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return err
	}
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return journal.SyncDir(filepath.Dir(path))
}

// path is where the spool has the cells of an item.
func (f *feed) path(h *held) string {
	return filepath.Join(f.dir, fmt.Sprintf("%d-%d.parquet", h.Hour, h.Version))
}

// spool encodes a block as the content of an item, and keeps it.
func (f *feed) spool(h *held, b *cells.Block) error {
	b.Version, b.Writer = h.Version, f.Writer
	body, err := cells.Encode(b)
	if err != nil {
		return err
	}
	h.Rows, h.CPU, h.Size, h.SHA256 = uint64(len(b.Cells)), b.CPU(), int64(len(body)), Checksum(body)
	if err := writeSafe(f.path(h), body); err != nil {
		return fmt.Errorf("write spool: %w", err)
	}
	return nil
}

// block is the content of an item of cells.
func (f *feed) block(h *held) (*cells.Block, error) {
	body, err := f.body(h)
	if err != nil {
		return nil, err
	}
	return cells.Decode(body)
}

// Checksum is the SHA-256 of a file, in hex, as manifests have it.
func Checksum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// put puts an item in the place of that of its hour. What that had in the spool goes with
// the next sweep.
func (f *feed) put(h *held) {
	if i, found := find(f.Items, h.Hour); found {
		f.Items[i] = *h
	} else {
		f.Items = slices.Insert(f.Items, i, *h)
	}
}

// sweep removes what no item is of from the spool.
func (f *feed) sweep() error {
	want := map[string]bool{stateName: true}
	for i := range f.Items {
		if h := &f.Items[i]; h.File == "" && !h.Gone {
			want[filepath.Base(f.path(h))] = true
		}
	}
	list, err := os.ReadDir(f.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range list {
		if !want[e.Name()] {
			err = errors.Join(err, os.Remove(filepath.Join(f.dir, e.Name())))
		}
	}
	if err != nil {
		return fmt.Errorf("clean spool: %w", err)
	}
	return nil
}

// bound drops what there is no room for, and forgets hours that are told no more.
func (f *feed) bound(b Bounds) {
	for _, i := range toDrop(f.Items, b) {
		f.Items[i].Gone = true
	}
	f.Items = slices.DeleteFunc(f.Items, func(h held) bool {
		if !h.Gone || h.File == "" && h.Hour >= f.Since {
			return false
		}
		if !h.Sent {
			f.Lost.add(&h.Item)
		}
		return true
	})
}

// lost is what was never sent, of items that are kept and of those that are not.
func (f *feed) lost() Lost {
	l := f.Lost
	for i := range f.Items {
		if h := &f.Items[i]; h.Gone && !h.Sent {
			l.add(&h.Item)
		}
	}
	return l
}

// through is until when all is in the sink.
func (f *feed) through() time.Time {
	t := f.Through
	for i := range f.Items {
		if h := &f.Items[i]; h.Hour != 0 && !h.Sent && !h.Gone && usage.HourStart(h.Hour).Before(t) {
			t = usage.HourStart(h.Hour)
		}
	}
	return t
}

// waiting reports whether anything is still to be sent or verified.
func (f *feed) waiting() bool {
	return slices.ContainsFunc(f.Items, func(h held) bool { return !h.Verified && !h.Gone })
}
