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
	var names map[uint32]string // of the groups to report on
	var daily uint32
	var committed time.Time
	err = s.ask(ctx, who, func(t pipeline.Turn) (err error) {
		if names, err = reported(t.Engine(), who, q); err != nil {
			return err
		}
		if err := t.Step(); err != nil {
			return err
		}
		t.Commit()
		out.Since, daily = t.Engine().HistoryFrom(t.Now())
		committed = t.Committed()
		return nil
	})
	out.Time = time.Now().UTC()
	if unsafe := (*pipeline.NotSafeError)(nil); errors.As(err, &unsafe) {
		out.Time = committed.UTC() // the report ends there
	} else if err != nil {
		return out, err
	}
	if q.Since.After(out.Since) {
		out.Since = q.Since
	}
	out.By, out.Until = q.By, q.Until
	first, last := hours(&out, daily)
	report := history.NewReport(history.By(q.By), func(g uint32) bool { _, ok := names[g]; return ok }, len(q.Groups) == 0)
	report.Daily = daily
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	read := make(chan error, 1)
	go func() {
		read <- s.Store.History(first, last, func(k *history.Key, u *usage.Usage) error {
			report.Add(k, u)
			return ctx.Err()
		})
	}()
	select {
	case err = <-read:
	case <-ctx.Done():
		err = ctx.Err() // the disk may not answer for long
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return out, api.Unavailable("the history cannot be read within %v: the disk is slow, or does not answer", readTimeout)
	case err != nil:
		return out, err
	}
	api.FillReport(&out, report, names)
	return out, nil
}

// reported are the groups that a report is about, all if none is named, by id; the
// caller may know of them what it asks.
func reported(e *engine.Engine, who api.Caller, q api.ReportQuery) (map[uint32]string, error) {
	private := q.By == "command" || q.By == "user"
	if len(q.Groups) == 0 && private && !who.Admin {
		return nil, api.Forbidden("commands and users of the whole machine are for root and members of unix group %s; name groups of your own", api.AdminGroup)
	}
	names := map[uint32]string{}
	for _, name := range q.Groups {
		g := e.Group(name)
		if g == nil {
			return nil, api.NoSuchGroup(name)
		}
		if private {
			if err := who.MayChange(g); err != nil {
				return nil, err
			}
		}
		names[g.ID] = name
	}
	if len(q.Groups) == 0 {
		for _, g := range e.Groups() {
			names[g.ID] = g.Name
		}
	}
	return names, nil
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
	out.Since = time.Unix(int64(first)*3600, 0).UTC()
	if end := time.Unix(int64(last)*3600, 0).UTC(); !end.After(out.Time) {
		out.Until = end
	}
	return first, last
}
