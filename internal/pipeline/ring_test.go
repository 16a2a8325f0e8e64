// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"math"
	"testing"

	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/cnfork"
	"elsa/pkg/stream"
)

// ringOf is a ring whose size and use are set by hand.
type ringOf struct{ kept, size, freed uint64 }

func (r *ringOf) ID() uint32               { return 7 }
func (r *ringOf) Free(before uint64)       { r.freed = before }
func (r *ringOf) Kept() (bytes, of uint64) { return r.kept, r.size }

// TestRingCommit reads a ring in two lanes. It is given free up to where both are read,
// once that is committed, and the transaction says how far each is. While it is in
// doubt who is in which groups, events cannot be gone on with.
func TestRingCommit(t *testing.T) {
	db := openStore(t)
	p := newPipeline(t, db, nil)
	p.Engine.Load(&store.State{Meta: store.Meta{NextGroup: 1}}, "boot", readNow())
	ring := &ringOf{size: 1 << 20}
	p.Sources.Ring, p.Sources.RingEvents = ring, true
	take := func(events, releases uint64, lost uint64) {
		p.takeEvents(&stream.Batch[cnfork.Event]{Lost: lost, At: stream.Cursor{Position: events, Lost: lost}})
		p.takeExact(&stream.Batch[acct.Record]{At: stream.Cursor{Position: releases}})
	}
	commit := func() *store.Ring {
		t.Helper()
		p.position.Offset++ // there is something to commit
		if err := p.commit(); err != nil {
			t.Fatal(err)
		}
		st, err := db.Load()
		if err != nil {
			t.Fatal(err)
		}
		return st.Meta.Ring
	}
	take(100, 200, 0)
	if ring.freed != 0 {
		t.Errorf("free up to %d before anything is committed", ring.freed)
	}
	if r := commit(); r == nil || r.ID != 7 || r.Events == nil || r.Events.Position != 100 || r.Releases == nil || r.Releases.Position != 200 {
		t.Errorf("committed: %+v", r)
	}
	if ring.freed != 100 {
		t.Errorf("free up to %d, want 100", ring.freed)
	}
	take(400, 300, 5)
	if r := commit(); r == nil || r.Events != nil || r.Releases == nil || r.Releases.Position != 300 {
		t.Errorf("committed while events are in doubt: %+v", r)
	}
	if ring.freed != 300 {
		t.Errorf("free up to %d, want 300", ring.freed)
	}
}

// TestRingFull gives a ring free that is used by more than a quarter although nothing
// else is to commit, or the database takes nothing: what a crash then costs is less
// than what having no room does.
func TestRingFull(t *testing.T) {
	for _, tt := range []struct {
		name       string
		kept, want uint64
		broken     bool
	}{
		{"nothing to commit", 1000, 0, false},
		{"nothing to commit, and full", 300 << 10, 100, false},
		{"a commit that fails", 1000, 0, true},
		{"a commit that fails, and full", 300 << 10, 100, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := openStore(t)
			p := newPipeline(t, db, nil)
			p.Engine.Load(&store.State{Meta: store.Meta{NextGroup: 1}}, "boot", readNow())
			if err := p.commit(); err != nil {
				t.Fatal(err)
			}
			ring := &ringOf{size: 1 << 20, kept: tt.kept}
			p.Sources.Ring, p.Sources.RingEvents = ring, true
			p.takeEvents(&stream.Batch[cnfork.Event]{At: stream.Cursor{Position: 100}})
			p.takeExact(&stream.Batch[acct.Record]{At: stream.Cursor{Position: math.MaxUint64}})
			if tt.broken {
				db.Close()
				p.position.Offset++
			}
			if err := p.commit(); (err != nil) != tt.broken {
				t.Errorf("commit: %v", err)
			}
			if ring.freed != tt.want {
				t.Errorf("free up to %d, want %d", ring.freed, tt.want)
			}
		})
	}
}
