// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"fmt"
	"time"

	"elsa/internal/fault"
	"elsa/internal/store"
	"elsa/pkg/usage"
)

// A commit is a list of changes that is made here, in memory, and written in a
// goroutine of its own, with what is to be done to the accounting segments on the same
// disk. There is one at a time. While the disk hangs the engine goes on: what it keeps
// follows what lives and what has bills, not what happens, and all of it is in the next
// commit.

// shownShare bounds the time spent on snapshots of what is committed, which readers
// get while the disk hangs: one part in so many.
const shownShare = 50

// Commit makes everything durable: [Pipeline.Do] returns when it is on disk, and with
// a *NotSafeError when that fails or takes too long. Then the change stands in memory
// and is committed as soon as it can be.
func (t Turn) Commit() { *t.durable = t.p.commitSoon(nil, nil) }

// Read is Commit, and has r be the history as of that commit when [Pipeline.Do] returns,
// or with a *NotSafeError the history as it was committed last.
func (t Turn) Read(r *Reading) {
	r.store = t.p.Store
	*t.durable = t.p.commitSoon(nil, r)
}

// commitSoon is the commit that will hold all that is known now, for somebody who
// waits for it as long as a disk that works may take. shown is a snapshot of what it
// makes durable, and reading is to be one, or they are nil.
func (p *Pipeline) commitSoon(shown *usage.Snapshot, reading *Reading) durable {
	if w := p.disk.now; w != nil {
		if p.disk.next == nil {
			p.disk.next = newSave()
		}
		p.disk.next.want(shown, reading)
		d := durable{save: p.disk.next, until: time.Now()}
		if left := hang - readNow().Boot.Sub(w.began.Boot); left > 0 {
			d.until = d.until.Add(left + hang)
		}
		return d
	}
	d := durable{save: newSave(), until: time.Now().Add(hang)}
	d.save.want(shown, reading)
	p.begin(d.save)
	return d
}

// commit makes everything durable, and waits for the disk.
func (p *Pipeline) commit() error {
	p.settle()
	s := newSave()
	p.begin(s)
	p.settle()
	return s.err
}

// settle waits until no commit is under way.
func (p *Pipeline) settle() {
	for p.disk.now != nil {
		p.ended(<-p.disk.written)
	}
}

// begin begins a commit. One under way must have ended.
func (p *Pipeline) begin(s *save) {
	now := readNow()
	if err := p.Engine.Prepare(now); err != nil {
		p.end(s, err)
		return
	}
	if len(s.readings) == 0 && !p.Engine.Changed() && p.position == p.meta.Position && !p.meta.CleanStop && !p.disk.reclaim && !p.ringFull() {
		p.disk.good = now.Wall
		p.end(s, nil) // an idle machine writes nothing
		return
	}
	fault.Point(fault.CommitBegin)
	w := &writing{save: s, began: now, tx: &store.Tx{}, meta: p.meta, reclaim: p.disk.reclaim, ring: p.ringRead()}
	w.meta.Position, w.meta.Ring, p.disk.reclaim = p.position, p.ring(), false
	p.Engine.Save(w.tx, &w.meta)
	w.rows = p.Engine.TakeRows()
	if len(s.readings) > 0 {
		living := p.Engine.Living()
		for _, r := range s.readings {
			r.has(living)
		}
	}
	if s.shown == nil && now.Boot >= p.disk.due {
		s.shown, _ = p.view()
		cost := readNow().Boot.Sub(now.Boot)
		p.disk.due = now.Boot.Add(shownShare * cost)
	}
	p.disk.now = w
	go p.write(w)
}

// write waits for the disk, outside the pipeline's goroutine. A failure loses
// nothing: all of it is written again next time.
func (p *Pipeline) write(w *writing) {
	p.Journal.write(w)
	if w.err = p.Store.Write(w.tx); w.err == nil {
		p.Journal.committed()
		fault.Point(fault.CommitDone)
		for _, r := range w.readings {
			r.open()
		}
	}
	w.took = readNow().Boot.Sub(w.began.Boot)
	if lines := p.Sources.Ledger; lines != nil {
		if w.err == nil {
			w.segments = lines.Release(w.meta.Position)
			fault.Point(fault.CommitReleased)
		}
		// Also after a failure: it must not grow without bound meanwhile.
		w.segments = errors.Join(w.segments, lines.Rotate())
		if r, ok := lines.(interface{ Reclaim() error }); ok && w.reclaim {
			w.reclaimed = r.Reclaim()
		}
	}
	if w.err == nil {
		fault.Point(fault.CommitRotated)
	}
	p.disk.written <- w
}

// ended takes over how a commit ended, and begins the one that was asked for since.
func (p *Pipeline) ended(w *writing) {
	p.disk.now = nil
	p.Engine.Saved(w.err)
	if w.err != nil {
		w.err = fmt.Errorf("%w; nothing is lost, and it is tried again", w.err)
		if p.disk.bad.IsZero() {
			p.disk.bad = w.began.Wall
		}
		p.unburden(w.ring)
	} else {
		p.freeRing(w.ring)
		p.meta, p.disk.good, p.disk.bad = w.meta, w.began.Wall, time.Time{}
		if p.Observe != nil {
			p.Observe(w.took)
		}
	}
	p.tell("commit", w.err)
	p.tell("accounting segments", w.segments)
	p.tell("journal", w.journal)
	if w.rows != nil {
		p.journaled = w.counts
	}
	if w.reclaimed != nil {
		p.Log.Debug("accounting cannot be switched on again", "err", w.reclaimed)
	}
	p.end(w.save, w.err)
	if next := p.disk.next; next != nil {
		p.disk.next = nil
		p.begin(next)
	}
}

func (p *Pipeline) end(s *save, err error) {
	if s.err = err; err == nil && s.shown != nil {
		p.committed.Store(s.shown)
	}
	close(s.done)
}

// watchDisk tells once that the disk does not answer.
func (p *Pipeline) watchDisk() {
	if w := p.disk.now; w != nil && readNow().Boot.Sub(w.began.Boot) >= hang {
		p.tell("commit", errHang)
		p.unburden(p.ringRead())
	}
}

// tell logs an error of something that may fail every second once, and once that
// it is over.
func (p *Pipeline) tell(what string, err error) {
	told := p.told[what]
	switch {
	case err == nil && told != "":
		delete(p.told, what)
		p.Log.Info(what + " works again")
	case err != nil && err.Error() != told:
		p.told[what] = err.Error()
		p.Log.Error("cannot do "+what, "err", err)
	}
}
