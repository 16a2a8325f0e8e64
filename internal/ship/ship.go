// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"elsa/internal/archive"
	"elsa/internal/cells"
	"elsa/internal/fault"
	"elsa/pkg/client"
	"elsa/pkg/usage"
)

// Options say what is sent, and where to.
type Options struct {
	Place Place
	// Cells tells the cells of this host.
	Cells interface {
		Cells(context.Context, client.CellsQuery) (client.Cells, error)
	}
	// Spool is the directory that keeps what is to be sent.
	Spool string
	// Archive is the archive whose sealed files are sent, too; "" sends none.
	Archive string
	// Hide is what does not leave the host.
	Hide   cells.Hide
	Bounds Bounds
	// Every is how often Round is called; readers are told.
	Every time.Duration
	// Again is how long after a comparison of the place with what was sent the next is due.
	Again time.Duration
	Now   func() time.Time
	// Writer makes names of writers; nil makes random ones.
	Writer func() string
	// At is called at the points of delivery of package fault; a test ends there.
	At func(point string)
}

// Shipper delivers. One goroutine uses it, and one Shipper a spool.
type Shipper struct {
	o     Options
	feeds map[string]*feed // by source
	live  string           // the source that elsad has now; "" before the first answer
}

// ErrConflict says that another host delivers under this host's identity.
var ErrConflict = errors.New("another host delivers under the same identity (its disk is a copy of this one's): give one of them a new /etc/machine-id or a new database of elsad; see docs/fleet.md")

// New opens a spool.
func New(o Options) (*Shipper, error) {
	if o.Writer == nil {
		o.Writer = newWriter
	}
	s := &Shipper{o: o, feeds: map[string]*feed{}}
	list, err := os.ReadDir(o.Spool)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	for _, e := range list {
		if !e.IsDir() || !uuidText.MatchString(e.Name()) {
			continue
		}
		f, err := loadFeed(filepath.Join(o.Spool, e.Name()), e.Name(), o.Writer)
		if err != nil {
			return nil, err
		}
		if f.Hidden != o.Hide {
			if err := f.hide(o.Hide); err != nil {
				return nil, err
			}
		}
		if err := f.sweep(); err != nil {
			return nil, err
		}
		s.feeds[f.Source] = f
	}
	return s, nil
}

func (s *Shipper) at(point string) error {
	if s.o.At != nil {
		s.o.At(point)
	}
	return fault.Point(point)
}

// Round says what a round did.
type Round struct {
	Hours, Sent, Resent int // hours that changed; files sent; of them those that were not as sent
	Waiting             int // files that wait
	Lost                Lost
	Through             time.Time // what ended before is in the sink
}

// Round collects what changed, sends what is not sent, and compares. An error leaves the
// rest to the next round; what was done is done.
func (s *Shipper) Round(ctx context.Context) (r Round, err error) {
	collected := s.collect(ctx, &r)
	var errs []error
	for _, source := range slices.Sorted(maps.Keys(s.feeds)) {
		f := s.feeds[source]
		final := s.live != "" && source != s.live
		f.bound(s.o.Bounds)
		if err := s.deliver(ctx, f, final, &r); err != nil {
			errs = append(errs, err)
		}
		if final && len(errs) == 0 && !f.waiting() {
			os.RemoveAll(f.dir) // it said that it is final, and is verified
			delete(s.feeds, source)
			continue
		}
		err := f.save() // first, so that the state on disk has no item of a file that is swept
		if err == nil {
			err = f.sweep()
		}
		if err != nil {
			errs = append(errs, err)
		}
		for i := range f.Items {
			if h := &f.Items[i]; !h.Sent && !h.Gone {
				r.Waiting++
			}
		}
		if source == s.live || s.live == "" {
			r.Lost, r.Through = f.lost(), f.through()
		}
	}
	return r, errors.Join(append(errs, collected)...)
}

// maxPages bounds the answers that make up one reading of the history.
const maxPages = 10000

// collect puts the hours that changed in the spool.
func (s *Shipper) collect(ctx context.Context, r *Round) error {
	q := client.CellsQuery{}
	for _, f := range s.feeds { // a mark of another database is of another run: all is told
		if f.Source == s.live || s.live == "" {
			q.After = f.Mark
		}
	}
	var f *feed
	var first client.Cells
	renamed := false
	for page := 0; ; page++ {
		answer, err := s.o.Cells.Cells(ctx, q)
		if err != nil {
			return fmt.Errorf("read cells: %w", err)
		}
		switch {
		case page > 0 && answer.Source != first.Source:
			return errors.New("read cells: the database changed meanwhile; it is read again")
		case page == 0 && !uuidText.MatchString(answer.Source):
			return fmt.Errorf("read cells: source %.40q is no UUID", answer.Source)
		case page == 0:
			first = answer
			s.live = answer.Source
			if f = s.feeds[s.live]; f == nil {
				if f, err = loadFeed(filepath.Join(s.o.Spool, s.live), s.live, s.o.Writer); err != nil {
					return err
				}
				f.Hidden = s.o.Hide
				s.feeds[s.live] = f
			}
		}
		f.Host = answer.Host
		renamed = f.learn(&answer) || renamed
		for i := range answer.Hours {
			if err := s.take(f, &answer, &answer.Hours[i], r); err != nil {
				return err
			}
		}
		if answer.Next == nil {
			break
		}
		if q.From = *answer.Next; page == maxPages {
			return errors.New("read cells: there is no end to them")
		}
	}
	f.Mark, f.Through, f.Since = first.Mark, first.Time, usage.HourOf(first.Since.Unix())
	if renamed { // in hours that did not change, too
		f.Mark = ""
	}
	if err := s.sealed(f); err != nil {
		return err
	}
	if err := f.save(); err != nil {
		return err
	}
	return s.at(fault.ShipCollected)
}

// maxNames bounds the names that are kept for groups and users that are no more.
const maxNames = 100_000

// learn takes in names. Those that are known stay, so that a group which was deleted
// keeps what it was billed. It reports whether one was renamed.
func (f *feed) learn(answer *client.Cells) (renamed bool) {
	for _, n := range []struct {
		have *map[string]string
		come map[string]string
	}{{&f.Names.Groups, answer.Groups}, {&f.Names.Users, answer.Users}} {
		if *n.have == nil || len(*n.have) > maxNames {
			*n.have = map[string]string{}
		}
		for id, name := range n.come {
			was, known := (*n.have)[id]
			renamed = renamed || known && was != name
			(*n.have)[id] = name
		}
	}
	return renamed
}

// take puts the cells of an hour in the spool, if they say anything new.
func (s *Shipper) take(f *feed, answer *client.Cells, h *client.CellsHour, r *Round) error {
	b := cells.Named(answer, h, &f.Names)
	b.Hide(s.o.Hide)
	if len(b.Cells) == 0 {
		return nil
	}
	next := offer(f.Items, f.Source, f.Writer, b.Hour, b.Digest())
	if next == nil {
		return nil
	}
	if err := f.spool(next, b); err != nil {
		return err
	}
	if err := s.at(fault.ShipSpooled); err != nil {
		return err
	}
	f.put(next)
	r.Hours++
	return nil
}

// sealed takes in the sealed files of the archive. One that was pruned before it was sent
// is lost.
func (s *Shipper) sealed(f *feed) error {
	if s.o.Archive == "" {
		return nil
	}
	files, err := archive.Files(s.o.Archive)
	if err != nil {
		return err
	}
	there, known := map[string]bool{}, map[string]bool{}
	for _, file := range files {
		there[file.Path] = true
	}
	for i := range f.Items {
		h := &f.Items[i]
		known[h.File] = true
		if h.File != "" && !there[h.File] {
			h.Gone = true
		}
	}
	for _, file := range files {
		name, ok := processesName(file.Day, file.Path, f.Writer, 0)
		if known[file.Path] || !ok {
			continue
		}
		h := held{Item: Item{Name: name, File: file.Path}}
		b, err := sealedBody(file.Path, f.Hidden)
		if errors.Is(err, os.ErrNotExist) {
			continue // pruned now
		}
		if err == nil {
			h.Rows, h.CPU, err = archive.Total(file.Path)
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", file.Path, err)
		}
		h.SHA256, h.Size = Checksum(b), int64(len(b))
		f.Items = append(f.Items, h)
	}
	return nil
}

// label names an item for a person.
func (h *held) label() string {
	if h.File != "" {
		return strings.TrimSuffix(filepath.Base(h.File), ".parquet")
	}
	return "cells of " + usage.HourStart(h.Hour).Format("2006-01-02 15h") + ", version " + strconv.FormatUint(h.Version, 10)
}
