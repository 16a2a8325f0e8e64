// SPDX-License-Identifier: Apache-2.0

package nss

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"elsa/internal/tally"
)

const (
	// batch is how many users one child is asked for. It is asked for one group, which
	// may have more members than are read.
	batch = 64
	// deadline is how long a child may take.
	deadline = 5 * time.Second
	// interval is how often Run looks whether files were changed and answers are old,
	// and pause how long it rests after it asked.
	interval = 10 * time.Second
	pause    = 100 * time.Millisecond
	// maxWanted bounds the names that are kept up to date, and maxName each.
	maxWanted = 4096
	maxName   = 256
)

// askable tells that getent takes a name for a name, and not for a number or an option.
func askable(name string) bool {
	_, err := strconv.ParseUint(name, 10, 64)
	return err != nil && name != "" && len(name) <= maxName && !strings.HasPrefix(name, "-") && !strings.ContainsAny(name, ":\n\x00")
}

// Run keeps what is wanted up to date and looks up what is asked for, until ctx is
// done. changed is called after each look that came to something new.
func (n *Names) Run(ctx context.Context, changed func()) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.kick:
		case <-tick.C:
		}
		if n.Look(ctx) {
			changed()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// Look looks up, now, what is asked for and what is wanted and not known, or old. It
// waits for the name service until ctx is done, and tells whether it came to anything
// new. A service that does not answer is not asked again for a while: the numbers are
// the answer then.
func (n *Names) Look(ctx context.Context) (changed bool) {
	n.looking.Lock()
	defer n.looking.Unlock()
	for db := range databases {
		changed = n.readFile(db) || changed
		r := round{Names: n, db: db}
		names, ids := n.due(db)
		for keys := range slices.Chunk(names, batches[db]) {
			r.look(ctx, keys, nil)
		}
		for chunk := range slices.Chunk(ids, batches[db]) {
			keys := make([]string, len(chunk))
			for i, id := range chunk {
				keys[i] = strconv.FormatUint(uint64(id), 10)
			}
			r.look(ctx, keys, chunk)
		}
		changed = changed || r.changed
	}
	return changed
}

var batches = [...]int{passwd: batch, group: 1}

// round is one look into a database. Once it fails the rest of it does too.
type round struct {
	*Names
	db      int
	changed bool
	err     error
}

// readFile reads the file of a database anew if it was changed.
func (n *Names) readFile(db int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.read(db)
}

// due are the names and ids to ask a database for.
func (n *Names) due(db int) (names []string, ids []uint32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t, now := &n.tables[db], time.Now()
	for name, ok := range t.wanted {
		if _, local := t.file.names[name]; ok && !local && !t.names[name].until.After(now) && len(names) < maxWanted {
			names = append(names, name)
		}
	}
	for id := range t.asked {
		ids = append(ids, id)
	}
	slices.Sort(names)
	slices.Sort(ids)
	return names, ids
}

// look asks for keys: ids, or names where there are none.
func (r *round) look(ctx context.Context, keys []string, ids []uint32) {
	var entries []entry
	if r.err == nil {
		ctx, cancel := context.WithTimeout(ctx, deadline)
		entries, r.err = r.ask(ctx, databases[r.db], keys)
		if r.err == nil && ids == nil {
			entries, r.err = r.single(ctx, keys, entries)
		}
		cancel()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &r.tables[r.db]
	for i, key := range keys {
		at := slices.IndexFunc(entries, func(e entry) bool { return ids == nil && e.name == key || ids != nil && e.id == ids[i] })
		a := answer{until: time.Now().Add(absent)}
		switch {
		case at >= 0:
			a = answer{entry: entries[at], found: true, until: time.Now().Add(fresh)}
			r.counts.Add(tally.NamesFound)
		case r.err != nil:
			r.counts.Add(tally.NamesFailed)
		default:
			r.counts.Add(tally.NamesUnknown)
		}
		if ids != nil {
			if _, known := t.ids[ids[i]]; !known && len(t.ids) >= maxIDs {
				clear(t.ids)
			}
			keep(r, t.ids, ids[i], a)
			delete(t.asked, ids[i])
		} else if t.wanted[key] {
			keep(r, t.names, key, a)
		}
	}
}

// keep puts an answer in place of the one that there was. Without one a name stays.
func keep[K comparable](r *round, answers map[K]answer, key K, a answer) {
	was, known := answers[key]
	if r.err != nil && !a.found && was.found {
		a.entry, a.found = was.entry, true
	}
	r.changed = r.changed || !known || was.found != a.found || was.entry != a.entry
	answers[key] = a
}

// single asks for the names that were not answered in their own writing: a service may
// know one by another, as alice@EXAMPLE.ORG.
func (r *round) single(ctx context.Context, keys []string, entries []entry) ([]entry, error) {
	for _, key := range keys {
		if slices.ContainsFunc(entries, func(e entry) bool { return e.name == key }) {
			continue
		}
		found := entries
		if len(keys) > 1 {
			var err error
			if found, err = r.ask(ctx, databases[r.db], []string{key}); err != nil {
				return entries, err
			}
		}
		for _, e := range found {
			entries = append(entries, entry{key, e.id})
		}
	}
	return entries, nil
}
