// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"elsa/internal/cells"
)

// raise gives cells the version above one, to be sent. Those that the spool has no more are
// asked for again: elsad may still have them.
func (s *Shipper) raise(f *feed, h *held, version uint64) error {
	var b *cells.Block
	body, err := f.body(h)
	if err == nil {
		b, err = cells.Decode(body)
	}
	if err != nil {
		h.Gone, h.Digest, f.Mark = true, "", ""
		return errors.Join(fmt.Errorf("send %s again: %w", h.label(), err), f.save())
	}
	was := *h
	was.Version = version
	next := successor(&was, f.Source, f.Writer, h.Digest)
	if !h.Sent {
		next.Old = h.Old // under its name nothing of ours is there
	}
	if err := f.spool(next, b); err != nil {
		return err
	}
	*h = *next
	return nil
}

// above takes in a file of cells that is not below what the state knows, since that was
// lost or is an older one. If it says what is to be sent, it is what was sent. Else the next
// version is sent, and where there is nothing to be sent it stays as it is.
func (s *Shipper) above(ctx context.Context, f *feed, c Cells) error {
	i, found := find(f.Items, c.Hour)
	if found && (f.Items[i].Version > c.Version || f.Items[i].Name == c.Name()) { // there are several
		return nil
	}
	body, err := s.o.Sink.Get(ctx, c.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	b, bad := cells.Decode(body)
	if bad == nil && (!found || f.Items[i].Gone || f.Items[i].Digest == b.Digest()) {
		h := held{Item: Item{Hour: c.Hour, Version: c.Version, Name: c.Name(), Rows: uint64(len(b.Cells)), CPU: b.CPU(), Size: int64(len(body)), SHA256: Checksum(body)}}
		h.Digest, h.Sent, h.Verified, h.Gone = b.Digest(), true, true, true
		f.put(&h)
		return nil
	}
	if !found || f.Items[i].Gone {
		f.Mark = "" // elsad may have what was there
		return nil
	}
	return s.raise(f, &f.Items[i], c.Version)
}
