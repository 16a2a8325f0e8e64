// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"os"

	"elsa/internal/archive"
	"elsa/internal/cells"
)

// sealedBody is the content of a sealed file as it leaves the host.
func sealedBody(path string, hide cells.Hide) ([]byte, error) {
	if hide == (cells.Hide{}) {
		return os.ReadFile(path)
	}
	return archive.Hide(path, hide)
}

// hide begins to hide something, or ends it: what waits is made anew, what was sent is
// replaced, and elsad is asked for all that it has.
func (f *feed) hide(hide cells.Hide) error {
	f.Hidden, f.Mark = hide, ""
	for i := range f.Items {
		h := &f.Items[i]
		if h.Gone {
			continue
		}
		if h.File != "" {
			b, err := sealedBody(h.File, f.Hidden)
			if err != nil {
				continue // what cannot be read is not sent
			}
			h.SHA256, h.Size = Checksum(b), int64(len(b))
			if h.Sent {
				h.another(f.Writer)
			}
			continue
		}
		b, err := f.block(h)
		if err != nil {
			continue // what cannot be read is not sent
		}
		b.Hide(f.Hidden)
		if digest := b.Digest(); digest != h.Digest {
			next := h
			if h.Sent {
				next = successor(h, f.Source, f.Writer, digest)
			}
			next.Digest = digest
			if err := f.spool(next, b); err != nil {
				return err
			}
			*h = *next
		}
	}
	return f.save()
}
