// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"elsa/internal/history"
	"elsa/pkg/usage"
)

// past is the history in use: what is put on bills is added up by the hour, too.
type past struct {
	rolls     *history.Rolls
	retention time.Duration
	dropped   uint32        // hours before are gone
	hours     time.Duration // how long hours are told apart
	daily     uint32        // of hours before it the history has days alone, or soon will
	whole     uint32        // hours before are added up by the day

	// Of the transaction under way:
	tx    Tx
	due   uint32 // hours before are dropped
	until uint32 // daily, if there is nothing to add up before
}

// dropBatch and addBatch bound the cells that one transaction forgets and adds
// up by the day.
const (
	dropBatch = 2000
	addBatch  = 500
)

func newPast(rolls *history.Rolls, retention, hours time.Duration) past {
	return past{rolls: rolls, retention: retention, hours: hours}
}

// save puts what changed, forgets what is older than the retention, and adds up
// by the day what is older than hours are told apart.
func (p *past) save(tx Tx, now time.Time) {
	p.tx = tx
	p.rolls.Flush(tx.AddCell)
	if p.due = p.first(now); p.due > p.dropped {
		tx.DropHistory(p.due, dropBatch)
	}
	switch due := history.Day(usage.HourOf(now.Add(-p.hours).Unix())); {
	case p.daily > p.whole: // go on with the day that ends at daily
		tx.AddUp(p.daily-24, p.daily, addBatch)
	case due > p.daily: // look for the next one
		p.until = due
		tx.FindHour(p.whole)
	}
}

// saved says how the transaction ended, which may have been made although it failed.
func (p *past) saved() {
	if !p.tx.Applied() {
		p.rolls.Failed()
		return
	}
	p.rolls.Done()
	if p.due > p.dropped && p.tx.Dropped() < dropBatch {
		p.dropped = p.due
	}
	switch hour, found := p.tx.Hour(); {
	case p.daily > p.whole:
		if p.tx.AddedUp() < addBatch {
			p.whole = p.daily
		}
	case p.until > p.daily:
		p.daily = p.until
		if found && hour < p.until {
			p.daily = history.Day(hour) + 24
		} else {
			p.whole = p.daily // there is nothing in between
		}
	}
	p.until, p.tx = 0, nil
}

// first is the earliest hour that is kept: the beginning of a day, which goes as
// a whole.
func (p *past) first(now time.Time) uint32 {
	return history.Day(usage.HourOf(now.Add(-p.retention).Unix()))
}
