// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// raise gives cells the version above one, to be sent. Those that the spool has no more are
// asked for again: elsad may still have them.
func (s *Shipper) raise(f *feed, h *held, version uint64) error {
	b, err := f.block(h)
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
func (s *Shipper) above(ctx context.Context, f *feed, o *Object) error {
	c, _ := ParseCells(o.Name)
	i, found := find(f.Items, c.Hour)
	if found && (f.Items[i].Version > c.Version || f.Items[i].Name == o.Name) { // there are several
		return nil
	}
	item, digest, err := s.o.Place.Adopt(ctx, o)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil && !errors.Is(err, ErrDiffers) {
		return err
	}
	if err == nil && (!found || f.Items[i].Gone || digest != "" && f.Items[i].Digest == digest) {
		f.put(&held{Item: item, Digest: digest, Sent: true, Verified: true, Gone: true})
		return nil
	}
	if !found || f.Items[i].Gone {
		f.Mark = "" // elsad may have what was there
		return nil
	}
	return s.raise(f, &f.Items[i], c.Version)
}
