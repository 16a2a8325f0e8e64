// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"elsa/internal/fill"
	"elsa/pkg/usage"
)

func fillState(s Service, c Caller, r *http.Request) (int, any, error) {
	q, err := fillQuery(r)
	if err != nil {
		return 0, nil, err
	}
	st, err := s.FillState(r.Context(), c, q)
	return http.StatusOK, st, err
}

func fillQuery(r *http.Request) (out FillQuery, err error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return out, BadRequest("bad query: %v", err)
	}
	var of Process
	for key, values := range q {
		last := values[len(values)-1]
		switch key {
		case "pid":
			if of.PID, err = strconv.Atoi(last); err != nil || checkPIDs([]int{of.PID}) != nil {
				return out, BadRequest("bad query: pid is %.20q; use a process id", last)
			}
			out.LivingOf = &of
		case "started":
			if of.Started, err = time.Parse(time.RFC3339Nano, last); err != nil {
				return out, BadRequest("bad query: started is %.40q; use RFC 3339, as in 2026-03-04T05:00:00Z", last)
			}
		default:
			return out, BadRequest("bad query: %.40q is unknown; use pid and started", key)
		}
	}
	if out.LivingOf == nil && !of.Started.IsZero() {
		return out, BadRequest("bad query: started is there and pid is not")
	}
	return out, nil
}

func fillGroup(s Service, c Caller, r *http.Request) (int, any, error) {
	name, err := groupName(r)
	if err != nil {
		return 0, nil, err
	}
	var q FillRequest
	if err := readJSON(r, &q, checkFill); err != nil {
		return 0, nil, err
	}
	out, err := s.FillGroup(r.Context(), c, name, q)
	return http.StatusOK, out, err
}

// Bounds of a request to fill, beside the size of its body.
const (
	maxFillSources = 16
	maxSource      = 64
)

func checkFill(q *FillRequest) error {
	switch {
	case len(q.Rows) == 0 || len(q.Cells) == 0:
		return errors.New("bad rows: there are none, or no cells")
	case len(q.Rows) > maxFillSources || len(q.Cells) > MaxFillCells:
		return fmt.Errorf("bad rows: rows of %d sources and %d cells; use at most %d and %d", len(q.Rows), len(q.Cells), maxFillSources, MaxFillCells)
	case !slices.Equal(q.Columns, CellColumns()):
		return errors.New("bad columns: use those that GET /v1/fill tells, in that order")
	}
	for i := range q.Rows {
		if r := &q.Rows[i]; r.Source == "" || len(r.Source) > maxSource || !printable(r.Source) {
			return fmt.Errorf("bad source %.20q: use the UUID of the rows", r.Source)
		} else if _, err := fill.NewRows(r.Source, r.Rows); err != nil {
			return fmt.Errorf("bad rows of source %s: %w", r.Source, err)
		}
	}
	for i := range q.Cells {
		if err := checkFillCell(&q.Cells[i]); err != nil {
			return fmt.Errorf("bad cell %d: %w", i, err)
		}
	}
	return nil
}

// maxFillFigure bounds what a cell may say, so that no sum comes near its ceiling: half
// a million years in nanoseconds.
const maxFillFigure = 1 << 54

func checkFillCell(c *FillCell) error {
	switch {
	case c.Unattributed:
		return errors.New("it is unattributed; name the groups it was in, which are none")
	case len(c.Command) > maxCommand:
		return fmt.Errorf("its command is %d bytes; use at most %d", len(c.Command), maxCommand)
	case len(c.Groups) > fill.MaxOthers || !slices.IsSorted(c.Groups):
		return fmt.Errorf("its groups are %d, or not in order; use at most %d, ascending", len(c.Groups), fill.MaxOthers)
	case c.Hour.Unix() < 0 || c.Hour.Unix()%3600 != 0 || c.Hour.Unix()/3600 > 1<<31:
		return fmt.Errorf("%v is no beginning of an hour", c.Hour)
	case len(c.Figures) != len(usage.Stored):
		return fmt.Errorf("it has %d figures; use %d", len(c.Figures), len(usage.Stored))
	}
	for i, n := range c.Figures {
		if n > maxFillFigure {
			return fmt.Errorf("its %s is %d; use at most %d", usage.Stored[i].Info().Column(), n, uint64(maxFillFigure))
		}
	}
	return nil
}

// maxCommand bounds a command name: "(unknown)", or up to 15 bytes that may each have
// become a replacement character of three.
const maxCommand = 48

// UsageOf is what the figures of a cell say; see [Figures].
func UsageOf(figures []uint64) (u usage.Usage) {
	for i, f := range usage.Stored {
		u[f] = figures[i]
	}
	return u
}

// MayFill returns nil if the caller may let groups take rows of the past: the service
// cannot see whether they are as the caller says. Otherwise it returns a 403 [Error].
func (c Caller) MayFill() error {
	if c.Admin {
		return nil
	}
	return Forbidden("what processes used in the past is billed as the caller tells it; only root and members of unix group %s may fill groups", AdminGroup)
}
