// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"net/url"
	"time"
)

// CellsQuery asks for the cells of the history.
type CellsQuery struct {
	// After is the mark of an earlier answer: hours that changed since are told. When it
	// is empty, or the service has started again since, all are.
	After string
	// From is the first hour that is told; zero: the earliest there is.
	From time.Time
}

// Cells are the cells of hours that changed, each hour whole. Sums over them are those
// of reports, to the nanosecond.
type Cells struct {
	// Time is when it was read: who ended before is in it, or in what the mark leads to.
	Time time.Time `json:"time"`
	// Source is the UUID of the database and Host the name of the machine.
	Source string `json:"source"`
	Host   string `json:"host"`
	// Mark is what to ask after the next time. If there are several answers, that is the
	// mark of the first one.
	Mark string `json:"mark"`
	// Since is the first hour that is told apart; what is older is kept by the day.
	Since time.Time `json:"since"`
	// Next is the hour to go on from when not all are in this answer.
	Next *time.Time `json:"next,omitempty"`
	// Columns name the figures of each cell: nanoseconds, bytes or numbers.
	Columns []string `json:"columns"`
	// Groups are the names of the groups of the cells, by their ids. A cell may have
	// groups that were deleted, which have no name. Users are the names of users that are
	// known, by uid.
	Groups map[string]string `json:"groups"`
	Users  map[string]string `json:"users"`
	Hours  []CellsHour       `json:"hours"`
}

// CellsHour are the cells of an hour.
type CellsHour struct {
	Hour  time.Time `json:"hour"`
	Cells []Cell    `json:"cells"`
}

// Cell is what the processes of a user and a command used in a set of groups that ended
// within the hour.
type Cell struct {
	// Groups are the ids of the groups, ascending; none: ungrouped, or unattributed.
	Groups       []uint32 `json:"groups,omitempty"`
	Unattributed bool     `json:"unattributed,omitempty"`
	UID          uint32   `json:"uid"`
	Command      string   `json:"command"`
	Figures      []uint64 `json:"figures"`
}

// Cells tells the cells of hours that changed.
func (c *Client) Cells(ctx context.Context, r CellsQuery) (out Cells, err error) {
	q := url.Values{}
	if r.After != "" {
		q.Set("after", r.After)
	}
	if !r.From.IsZero() {
		q.Set("from", r.From.UTC().Format(time.RFC3339))
	}
	err = c.do(ctx, "GET", withQuery("/v1/cells", q), nil, &out)
	return out, err
}
