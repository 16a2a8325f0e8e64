// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"

	"elsa/internal/history"
	"elsa/internal/store"
	"elsa/pkg/api"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/usage"
)

// past is the history in use.
type past struct {
	rolls     *history.Rolls
	retention time.Duration
	dropped   uint32        // hours before are gone
	hours     time.Duration // how long hours are told apart
	whole     uint32        // hours before are added up by the day
	nextWhole uint32        // the same, once the transaction is done
}

// dropBatch and addBatch bound the cells that one transaction forgets and adds
// up by the day.
const (
	dropBatch = 2000
	addBatch  = 500
)

// keepHistory lets all that is put on bills be added up by the hour, too.
func (c *core) keepHistory(commands int, retention, hours time.Duration) {
	r := history.New(c.tracker.Sets, commands)
	c.past = past{rolls: r, retention: retention, hours: hours}
	r.Known = func(hour uint32) (known []string) {
		err := c.store.History(hour, hour+1, func(k *history.Key, _ *usage.Usage) error {
			known = append(known, k.Command)
			return nil
		})
		if err != nil {
			c.log.Error("cannot read history", "err", err)
		}
		return known
	}
	c.join.Roll = r.Roll
	c.join.Who = func(k groups.Key) usage.Cell {
		cell := usage.Cell{Hour: usage.HourOf(time.Now().Unix()), UID: usage.UnknownUID, Comm: usage.Unknown}
		if p, err := c.proc.Process(k.PID); err == nil && proc.SameStart(p.Start, k.Start) {
			cell.UID, cell.Comm = p.UID, p.Comm
		}
		return cell
	}
}

// write puts what changed, forgets what is older than the retention, and adds up
// by the day what is older than hours are told apart.
func (p *past) write(tx *store.Tx, meta *store.Meta, now time.Time) {
	if p.rolls == nil {
		return
	}
	p.rolls.Flush(tx.Cell, tx.PutCell)
	if first := p.first(now); first > p.dropped && tx.DropHistory(first, dropBatch) < dropBatch {
		p.dropped = first
	}
	p.addUp(tx, meta, now)
}

// addUp goes on with the day that ends at meta.Daily, or takes the next one that
// is due.
func (p *past) addUp(tx *store.Tx, meta *store.Meta, now time.Time) {
	p.nextWhole, p.rolls.Daily = p.whole, meta.Daily
	if meta.Daily > p.whole {
		if tx.AddUp(meta.Daily-24, meta.Daily, addBatch) < addBatch {
			p.nextWhole = meta.Daily
		}
		return
	}
	due := history.Day(usage.HourOf(now.Add(-p.hours).Unix()))
	if due <= meta.Daily {
		return
	}
	meta.Daily = due // unless there is something in between
	if hour, ok := tx.NextHour(p.whole); ok && hour < due {
		meta.Daily = history.Day(hour) + 24
	} else {
		p.nextWhole = due
	}
	p.rolls.Daily = meta.Daily
}

// done says that what was written is safe.
func (p *past) done() {
	if p.rolls != nil {
		p.rolls.Done()
		p.whole = p.nextWhole
	}
}

// first is the earliest hour that is kept: the beginning of a day, which goes as
// a whole.
func (p *past) first(now time.Time) uint32 {
	return history.Day(usage.HourOf(now.Add(-p.retention).Unix()))
}

// Report adds up the history. Commands and users are shown of groups of the
// caller's own, or to an admin.
func (s *service) Report(ctx context.Context, who api.Caller, q api.ReportQuery) (out api.Report, err error) {
	if q.Since.After(time.Now()) {
		return out, api.BadRequest("bad query: since is in the future")
	}
	if q.Wait {
		if err := s.core.settle(ctx, nil); err != nil {
			return out, unavailable(err)
		}
	}
	names := map[uint32]string{}
	var daily uint32
	err = s.do(ctx, func() error {
		c := s.core
		wanted := map[string]bool{}
		for _, name := range q.Groups {
			g := c.group(name)
			if g == nil {
				return api.NoSuchGroup(name)
			}
			wanted[name] = true
			if q.By == "command" || q.By == "user" {
				if err := who.MayChange(g); err != nil {
					return err
				}
			}
		}
		if len(q.Groups) == 0 && (q.By == "command" || q.By == "user") && !who.Admin {
			return api.Forbidden("commands and users of the whole machine are for root and members of unix group %s; name groups of your own", api.AdminGroup)
		}
		for i := range c.groups {
			if len(wanted) == 0 || wanted[c.groups[i].Name] {
				names[c.groups[i].ID] = c.groups[i].Name
			}
		}
		out.Since, out.Until = later(q.Since, later(c.meta.Created, time.Unix(int64(c.past.first(time.Now()))*3600, 0))), q.Until
		if err := c.step(); err != nil {
			return err
		}
		err := c.durable()
		daily = c.meta.Daily
		return err
	})
	if err != nil {
		return out, err
	}
	out.Time, out.By = time.Now().UTC(), q.By
	if out.Until.IsZero() || out.Until.After(out.Time) {
		out.Until = out.Time
	}
	first, last := usage.HourOf(out.Since.Unix()), usage.HourOf(out.Until.Add(time.Hour-time.Nanosecond).Unix())
	if first < daily {
		first = history.Day(first)
	}
	if last < daily {
		last = history.Day(last + 23)
	}
	out.Since = time.Unix(int64(first)*3600, 0).UTC()
	if end := time.Unix(int64(last)*3600, 0).UTC(); !end.After(out.Time) {
		out.Until = end
	}
	report := history.NewReport(history.By(q.By), func(g uint32) bool { _, ok := names[g]; return ok }, len(q.Groups) == 0)
	report.Daily = daily
	if err := s.core.store.History(first, last, func(k *history.Key, u *usage.Usage) error {
		report.Add(k, u)
		return ctx.Err()
	}); err != nil {
		return out, err
	}
	out.Fill(report, names)
	return out, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
