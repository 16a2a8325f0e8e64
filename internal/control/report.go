// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"time"

	"elsa/internal/engine"
	"elsa/internal/history"
	"elsa/internal/pipeline"
	"elsa/pkg/api"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// readTimeout bounds a look into the history.
const readTimeout = 30 * time.Second

// Report adds up the history. Commands and users are shown of groups of the
// caller's own, or to an admin.
func (s *Service) Report(ctx context.Context, who api.Caller, q api.ReportQuery) (out api.Report, err error) {
	if q.Since.After(time.Now()) {
		return out, api.BadRequest("bad query: since is in the future")
	}
	if q.Wait {
		if err := s.settle(ctx, who, nil); err != nil {
			return out, err
		}
	}
	if err := s.Pipeline.SampleLiving(ctx); err != nil {
		return out, stopping(err)
	}
	var about reported
	var daily uint32
	var reading pipeline.Reading
	var committed time.Time
	err = s.ask(ctx, who, func(t pipeline.Turn) (err error) {
		if about, err = reportOn(t.Engine(), who, q); err != nil {
			return err
		}
		if err := t.Step(); err != nil {
			return err
		}
		t.Read(&reading)
		out.Since, daily = t.Engine().HistoryFrom(t.Now())
		committed = t.Committed()
		return nil
	})
	out.Time = time.Now().UTC()
	if unsafe := (*pipeline.NotSafeError)(nil); errors.As(err, &unsafe) {
		out.Time = committed.UTC() // the report ends there
	} else if err != nil {
		reading.Close()
		return out, err
	}
	if q.Since.After(out.Since) {
		out.Since = q.Since
	}
	out.By, out.Until = q.By, q.Until
	first, last := hours(&out, daily)
	report := history.NewReport(history.By(q.By), func(g uint32) []int { return about.rows[g] }, len(q.Groups) == 0)
	report.Daily = daily
	err = s.read(ctx, func(ctx context.Context) error {
		defer reading.Close()
		return reading.Each(first, last, func(k *history.Key, u *usage.Usage) error {
			if !q.Mine || k.UID == who.UID {
				report.Add(k, u)
			}
			return ctx.Err()
		})
	})
	if err != nil {
		return out, err
	}
	api.FillReport(&out, report, about.names)
	return out, nil
}

// read lets f read the history, and bounds the time that takes. After an error f may
// still run.
func (s *Service) read(ctx context.Context, f func(context.Context) error) error {
	err := within(ctx, readTimeout, f)
	if errors.Is(err, context.DeadlineExceeded) {
		return api.Unavailable("the history cannot be read within %v: the disk is slow, or does not answer", readTimeout)
	}
	return err
}

// within runs f, and waits for it no longer than d: the disk may not answer for long.
// After an error f may still run.
func within(ctx context.Context, d time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reported is what the rows of a report by group are about.
type reported struct {
	names []string
	// rows are the numbers of the rows that a group counts in, by its id.
	rows map[uint32][]int
}

func (r *reported) add(name string, gs ...*groups.Group) {
	for _, g := range gs {
		for _, id := range append([]uint32{g.ID}, g.Absorbed...) {
			r.rows[id] = append(r.rows[id], len(r.names))
		}
	}
	r.names = append(r.names, name)
}

// reportOn finds the groups that a report is about, all if none is named; the caller
// may know of them what it asks. Of its own processes a caller may know all.
func reportOn(e *engine.Engine, who api.Caller, q api.ReportQuery) (reported, error) {
	r := reported{rows: map[uint32][]int{}}
	private := (q.By == "command" || q.By == "user" || q.By == "set") && !q.Mine
	if len(q.Groups) == 0 && private && !who.Admin {
		return r, api.Forbidden("commands and users of the whole machine are for root and members of unix group %s; name groups of your own, or ask for your own processes (--mine)", api.AdminGroup)
	}
	all := e.Groups()
	if len(q.Groups) == 0 {
		for _, g := range all {
			r.add(g.Name, g)
		}
		return r, nil
	}
	found, err := api.Select(q.Groups, len(all), func(i int) string { return all[i].Name })
	if err != nil {
		return r, err
	}
	for _, i := range found.Groups {
		r.add(all[i].Name, all[i])
	}
	for _, p := range found.Parents {
		var gs []*groups.Group
		for _, i := range p.Groups {
			gs = append(gs, all[i])
		}
		r.add(p.Name, gs...)
		found.Groups = append(found.Groups, p.Groups...)
	}
	for _, i := range found.Groups {
		if !private {
			break
		}
		if err := who.MayChange(all[i]); err != nil {
			return r, err
		}
	}
	return r, nil
}

// hours are the first hour of a report and the one after its last, and makes the
// report's own times those: whole days where hours are not told apart any more,
// and no later than its time.
func hours(out *api.Report, daily uint32) (first, last uint32) {
	if out.Until.IsZero() || out.Until.After(out.Time) {
		out.Until = out.Time
	}
	first, last = usage.HourOf(out.Since.Unix()), usage.HourOf(out.Until.Add(time.Hour-time.Nanosecond).Unix())
	if first < daily {
		first = history.Day(first)
	}
	if last < daily {
		last = history.Day(last + 23)
	}
	out.Since = usage.HourStart(first)
	if end := usage.HourStart(last); !end.After(out.Time) {
		out.Until = end
	}
	return first, last
}
