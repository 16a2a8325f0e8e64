// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"time"

	"elsa/internal/fault"
	"elsa/pkg/usage"
)

// deliver brings the sink in line with a feed.
func (s *Shipper) deliver(ctx context.Context, f *feed, final bool, r *Round) error {
	others, err := s.own(ctx, f)
	if err != nil {
		return err
	}
	var replaced []string
	if err := s.again(ctx, f, r); err != nil {
		return err
	}
	if now := s.o.Now(); f.Since > 0 && now.Sub(f.Compared).Abs() >= s.o.Again {
		if replaced, err = s.compare(ctx, f, others, r); err != nil {
			return err
		}
		f.Compared = now
	}
	for i := range f.Items {
		if h := &f.Items[i]; !h.Sent && !h.Gone {
			if err := s.send(ctx, f, h, r); err != nil {
				return err
			}
		}
	}
	for i := range f.Items {
		if h := &f.Items[i]; h.Sent && !h.Gone && !h.Verified {
			if err := s.verify(ctx, f, h, r); err != nil {
				return err
			}
		}
	}
	if err := s.publish(ctx, f, final, others); err != nil {
		return err
	}
	if err := s.tidy(ctx, f, replaced); err != nil {
		return err
	}
	for _, m := range others {
		if Interleaved(&m, &Manifest{First: f.First, Last: f.Last}) {
			return fmt.Errorf("deliver as %s, as which %s does: %w", f.Source, m.Host, ErrConflict)
		}
	}
	return nil
}

// own reads the manifests of the source and finds the feed's own among them. A feed
// whose manifest is not what it wrote last is not alone, or was put back: it goes on as
// another writer. It returns those of others.
func (s *Shipper) own(ctx context.Context, f *feed) (others []Manifest, err error) {
	list, err := s.o.Place.Manifests(ctx, f.Source, func(error) {})
	if err != nil {
		return nil, err
	}
	if len(list) > maxManifests {
		return nil, fmt.Errorf("deliver: source %s has %d writers", f.Source, len(list))
	}
	i := slices.IndexFunc(list, func(m Manifest) bool { return m.Writer == f.Writer })
	switch {
	case i < 0 && f.Last > 0: // the sink is another, or was emptied
		f.Compared, f.Mark = time.Time{}, ""
		f.First, f.Last, f.Nonce, f.Next = 0, 0, "", ""
		return list, f.save()
	case i < 0:
		return list, nil
	case list[i].Nonce == f.Nonce || list[i].Nonce == f.Next:
		f.Nonce, f.First, f.Last = list[i].Nonce, list[i].First, list[i].Last
		return slices.Delete(list, i, i+1), nil
	}
	f.Writer, f.First, f.Last, f.Nonce, f.Next = s.o.Writer(), 0, 0, "", ""
	f.Compared = time.Time{}
	for k := range f.Items { // names are the writer's
		h := &f.Items[k]
		switch {
		case h.Sent:
		case h.File != "":
			h.rename(f.Writer)
		default:
			h.Name = Cells{f.Source, h.Hour, h.Version, f.Writer}.Name()
			if b, err := f.block(h); err == nil && !h.Gone {
				if err := f.spool(h, b); err != nil { // it says who made it
					return nil, err
				}
			}
		}
	}
	return list, f.save()
}

// day is that of a file of the archive.
func (h *held) day() string { return h.Name[len(Processes)+len("day="):][:len(time.DateOnly)] }

// rename gives a file of the archive its name in the place.
func (h *held) rename(writer string) { h.Name, _ = processesName(h.day(), h.File, writer, h.Try) }

// publish writes the manifest: what the sink has of the feed.
func (s *Shipper) publish(ctx context.Context, f *feed, final bool, others []Manifest) error {
	m := Manifest{
		Source: f.Source, Host: f.Host, Writer: f.Writer, First: f.First, Last: f.Last, Nonce: rand.Text(), Updated: s.o.Now().UTC(),
		Through: f.through(), Final: final && !f.waiting(), Every: s.o.Every.Seconds(), Lost: f.lost(), Items: []Item{},
	}
	for _, o := range others {
		m.Last = max(m.Last, o.Last)
	}
	m.Last++
	if m.First == 0 {
		m.First = m.Last
	}
	for i := range f.Items {
		if h := &f.Items[i]; h.Sent {
			item := h.Item
			item.File = "" // a path of this host
			m.Items = append(m.Items, item)
		}
	}
	f.Next = m.Nonce
	if err := f.save(); err != nil {
		return err
	}
	if err := s.at(fault.ShipPublish); err != nil {
		return err
	}
	if err := s.o.Place.Publish(ctx, &m); err != nil {
		return err
	}
	if err := s.at(fault.ShipPublished); err != nil {
		return err
	}
	f.First, f.Last, f.Nonce = m.First, m.Last, m.Nonce
	return f.save()
}

// again sends again what was asked for, by elsactl fleet resend.
func (s *Shipper) again(ctx context.Context, f *feed, r *Round) error {
	asked, err := s.o.Place.Asked(ctx, f.Source)
	if err != nil || asked.ID == "" || asked.ID == f.Again {
		return err
	}
	since := usage.HourOf(asked.Since.Unix())
	for i := range f.Items {
		h := &f.Items[i]
		switch {
		case h.Hour != 0 && h.Hour < since, h.File != "" && h.day() < asked.Since.UTC().Format(time.DateOnly):
		case !h.Gone:
			if err := s.send(ctx, f, h, r); err != nil {
				return err
			}
			r.Resent++
		case h.File == "": // elsad may still have it
			h.Digest, f.Mark = "", ""
		}
	}
	f.Again = asked.ID
	return f.save()
}

// body is the content of an item; fs.ErrNotExist if it is gone.
func (f *feed) body(h *held) ([]byte, error) {
	path := h.File
	var b []byte
	var err error
	if path == "" {
		path = f.path(h)
		b, err = os.ReadFile(path)
	} else {
		b, err = sealedBody(path, f.Hidden)
	}
	if err != nil {
		return nil, err
	}
	if Checksum(b) != h.SHA256 {
		return nil, fmt.Errorf("%s is damaged", path)
	}
	return b, nil
}

// send puts an item in the sink. One that is there already is sent if it is what it should
// be; else it is sent under another name.
func (s *Shipper) send(ctx context.Context, f *feed, h *held, r *Round) error {
	for range 3 {
		b, err := f.body(h)
		if err != nil { // it cannot be sent; cells are asked for again
			h.Gone, h.Digest, f.Mark = true, "", ""
			return errors.Join(fmt.Errorf("send %s: %w", h.label(), err), f.save())
		}
		err = s.o.Place.Put(ctx, &h.Item, b)
		if errors.Is(err, ErrThere) {
			if err = s.renew(f, h); err != nil {
				return err
			}
			r.Resent++
			continue
		}
		if err != nil {
			return fmt.Errorf("send %s: %w", h.label(), err)
		}
		if err := s.at(fault.ShipPut); err != nil {
			return err
		}
		h.Sent, h.Verified = true, false
		r.Sent++
		if err := f.save(); err != nil {
			return err
		}
		return s.at(fault.ShipSent)
	}
	return fmt.Errorf("send %s: whatever it is called, something else is there", h.label())
}

// renew gives an item another name, cells a higher version, and has it sent again.
func (s *Shipper) renew(f *feed, h *held) error {
	if h.File != "" {
		h.another(f.Writer)
		return f.save()
	}
	return errors.Join(s.raise(f, h, h.Version), f.save())
}

// another gives a file of the archive another name, under which it is to be sent.
func (h *held) another(writer string) {
	h.Old = append(slices.Clip(h.Old), h.Name)
	h.Try++
	h.rename(writer)
	h.Sent, h.Verified = false, false
}

// verify reads an item back.
func (s *Shipper) verify(ctx context.Context, f *feed, h *held, r *Round) error {
	switch err := s.o.Place.Check(ctx, &h.Item); {
	case errors.Is(err, fs.ErrNotExist):
		r.Resent++
		h.Sent = false
		return s.send(ctx, f, h, r)
	case errors.Is(err, ErrDiffers):
		r.Resent++
		if err := s.renew(f, h); err != nil {
			return err
		}
		return s.send(ctx, f, h, r) // the next round verifies it
	case err != nil:
		return fmt.Errorf("verify %s: %w", h.label(), err)
	}
	h.Verified = true
	return errors.Join(f.save(), s.at(fault.ShipVerified))
}

// tidy removes what was replaced, by items that are verified: those that a comparison
// found, and those that items know of. It comes after the manifest, which until then names
// what is replaced.
func (s *Shipper) tidy(ctx context.Context, f *feed, replaced []string) error {
	for _, name := range replaced {
		if err := s.o.Place.Remove(ctx, name); err != nil {
			return err
		}
	}
	removed := false
	for i := range f.Items {
		for h := &f.Items[i]; h.Verified && !h.Gone && len(h.Old) > 0; h.Old = h.Old[1:] {
			if err := s.o.Place.Remove(ctx, h.Old[0]); err != nil {
				return err
			}
			if err := s.at(fault.ShipRemoved); err != nil {
				return err
			}
			removed = true
		}
	}
	if !removed {
		return nil
	}
	return f.save()
}

// compare compares what is in the sink with what was sent. others are the manifests of
// other writers. It returns the names of what was replaced, and is to be removed.
func (s *Shipper) compare(ctx context.Context, f *feed, others []Manifest, r *Round) (replaced []string, err error) {
	there, err := s.listing(ctx, f)
	if err != nil {
		return nil, err
	}
	d := compare(f.Items, there, f.Writer)
	for _, i := range d.Missing {
		h := &f.Items[i]
		h.Sent, h.Verified = false, false
		if r.Resent++; h.Gone && h.File == "" { // elsad may still have it
			h.Digest, f.Mark = "", ""
		}
	}
	for _, i := range d.Wrong {
		r.Resent++
		if err := s.renew(f, &f.Items[i]); err != nil {
			return nil, err
		}
	}
	for i := range d.Known {
		c, _ := ParseCells(d.Known[i].Name)
		lives := func(m Manifest) bool { return m.Writer == c.Writer && f.First > 0 && m.Last > f.First }
		if c.Hour >= f.Since && !slices.ContainsFunc(others, lives) {
			if err := s.above(ctx, f, &d.Known[i]); err != nil {
				return nil, err
			}
		}
	}
	return d.Remove, f.save()
}

// listing is what the sink has of a feed: of the days of its items, and before the first
// manifest of all days that elsad tells of.
func (s *Shipper) listing(ctx context.Context, f *feed) ([]Object, error) {
	dirs := map[string]bool{}
	for i := range f.Items {
		dirs[path.Dir(f.Items[i].Name)+"/"] = true
	}
	if f.First == 0 {
		for hour := f.Since - f.Since%24; !usage.HourStart(hour).After(f.Through); hour += 24 {
			dirs[fmt.Sprintf("%ssource=%s/", CellsDay(usage.HourStart(hour)), f.Source)] = true
		}
	}
	return s.o.Place.List(ctx, slices.Sorted(maps.Keys(dirs)))
}
