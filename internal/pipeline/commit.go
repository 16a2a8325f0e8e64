// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"fmt"

	"elsa/internal/fault"
	"elsa/internal/store"
)

// commit makes everything durable in one transaction and lets go of the ledger
// before it. A failure loses nothing: all of it is written again next time.
func (p *Pipeline) commit() error {
	now := readNow()
	if err := p.Engine.Prepare(now); err != nil {
		return err
	}
	if !p.Engine.Changed() && p.position == p.meta.Position && !p.meta.CleanStop && !p.ringFull() {
		return nil // an idle machine writes nothing
	}
	fault.Point(fault.CommitBegin)
	meta := p.meta
	meta.Position = p.position
	meta.Ring = p.ring()
	err := p.Store.Commit(func(tx *store.Tx) { p.Engine.Save(tx, &meta) })
	p.Engine.Saved(err)
	if err != nil {
		err = fmt.Errorf("%w; nothing is lost, and it is tried again", err)
	}
	p.tell("commit", err)
	lines := p.Sources.Ledger
	if err != nil {
		if p.ringFull() { // a crash will then lose it; going on without room would at once
			p.freeRing()
		}
		if lines != nil { // it must not grow without bound meanwhile
			p.tell("accounting segments", lines.Rotate())
		}
		return err
	}
	p.meta = meta
	fault.Point(fault.CommitDone)
	p.freeRing()
	if lines != nil {
		err := lines.Release(p.position)
		fault.Point(fault.CommitReleased)
		p.tell("accounting segments", errors.Join(err, lines.Rotate()))
	}
	fault.Point(fault.CommitRotated)
	if p.Observe != nil {
		p.Observe(readNow().Boot.Sub(now.Boot))
	}
	return nil
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
