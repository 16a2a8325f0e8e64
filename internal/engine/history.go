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
	nextWhole uint32        // the same, once the transaction is done
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
	p.rolls.Flush(tx.Cell, tx.PutCell)
	if first := p.first(now); first > p.dropped && tx.DropHistory(first, dropBatch) < dropBatch {
		p.dropped = first
	}
	p.addUp(tx, now)
}

// addUp goes on with the day that ends at daily, or takes the next one that is due.
func (p *past) addUp(tx Tx, now time.Time) {
	p.nextWhole, p.rolls.Daily = p.whole, p.daily
	if p.daily > p.whole {
		if tx.AddUp(p.daily-24, p.daily, addBatch) < addBatch {
			p.nextWhole = p.daily
		}
		return
	}
	due := history.Day(usage.HourOf(now.Add(-p.hours).Unix()))
	if due <= p.daily {
		return
	}
	p.daily = due // unless there is something in between
	if hour, ok := tx.NextHour(p.whole); ok && hour < due {
		p.daily = history.Day(hour) + 24
	} else {
		p.nextWhole = due
	}
	p.rolls.Daily = p.daily
}

// saved says that what was put is safe.
func (p *past) saved() {
	p.rolls.Done()
	p.whole = p.nextWhole
}

// first is the earliest hour that is kept: the beginning of a day, which goes as
// a whole.
func (p *past) first(now time.Time) uint32 {
	return history.Day(usage.HourOf(now.Add(-p.retention).Unix()))
}
