// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"net/url"
	"strconv"
	"time"
)

// FillQuery asks for a [FillState].
type FillQuery struct {
	// LivingOf, if set, has Living told: the live descendants of a process, and itself.
	LivingOf *Process
}

// FillState is what whoever lets groups take rows of the past must know: which rows they
// have already.
type FillState struct {
	// Version names this state.
	Version uint64 `json:"version"`
	// Next is the number of the first row that is not written yet: rows from it on may
	// name groups that are not told here. 0: no rows are written.
	Next uint64 `json:"next"`
	// Unsettled are rows of processes that used more than is billed yet, as
	// [FillRows].Rows: they are not to be taken.
	Unsettled []byte `json:"unsettled,omitempty"`
	// Columns name the figures of cells; see [Cells].
	Columns []string    `json:"columns"`
	Groups  []FillGroup `json:"groups"`
	// Living are those that were asked for. They have no row that names them yet, and
	// what they forked may have.
	Living []Process `json:"living,omitempty"`
}

// FillGroup is a group and the rows that it has.
type FillGroup struct {
	ID    uint32 `json:"id"`
	Name  string `json:"name"`
	Owner uint32 `json:"owner"`
	// Named tells by which names rows know it.
	Named []RowName `json:"named"`
	// Taken are rows that it took after the processes had ended.
	Taken []FillRows `json:"taken,omitempty"`
}

// RowName is a name of a group in rows with the numbers from First to before Before, 0 for
// all that come.
type RowName struct {
	Name   string `json:"name"`
	First  uint64 `json:"first"`
	Before uint64 `json:"before,omitempty"`
}

// FillRows are numbers of rows of a source.
type FillRows struct {
	// Source is the UUID of the database whose rows these are.
	Source string `json:"source"`
	// Rows are runs of numbers, ascending: for each two varints (as in protocol buffers,
	// unsigned), how many numbers are left out since the last, or since 0, and by how
	// many it is longer than one. In JSON that is base64.
	Rows []byte `json:"rows"`
}

// FillRequest asks that a group take what processes used that ended in other groups or in
// none: all that the request names or nothing.
type FillRequest struct {
	// Version is that of the [FillState] by which Rows and the cells' groups were found.
	Version uint64 `json:"version"`
	// Owner is needed of an admin who fills another user's group with processes that are
	// not that user's: its uid. The user will see what they used.
	Owner *uint32 `json:"owner,omitempty"`
	// Rows are those whose sums the cells are.
	Rows []FillRows `json:"rows"`
	// Columns name the figures of cells, in the order of [FillState].Columns.
	Columns []string   `json:"columns"`
	Cells   []FillCell `json:"cells"`
}

// FillCell is what the rows of an hour, a user and a command used that were in the same
// groups.
type FillCell struct {
	Hour time.Time `json:"hour"`
	Cell
}

// FillResult says what a group took.
type FillResult struct {
	// Version is that of the state after it: the next request goes on with it.
	Version uint64 `json:"version"`
	// Rows is how many the group took.
	Rows uint64 `json:"rows"`
}

// MaxFillCells is how many cells a [FillRequest] may have.
const MaxFillCells = 4000

// FillState tells which rows groups have. It is for admins.
func (c *Client) FillState(ctx context.Context, r FillQuery) (s FillState, err error) {
	q := url.Values{}
	if of := r.LivingOf; of != nil {
		q.Set("pid", strconv.Itoa(of.PID))
		if !of.Started.IsZero() {
			q.Set("started", of.Started.UTC().Format(time.RFC3339Nano))
		}
	}
	err = c.do(ctx, "GET", withQuery("/v1/fill", q), nil, &s)
	return s, err
}

// FillGroup lets a group take what processes used that had ended. It is for admins. A row
// is taken once: a request that is repeated after its answer was lost is refused with
// status 409, as is one by an older version.
func (c *Client) FillGroup(ctx context.Context, name string, r FillRequest) (out FillResult, err error) {
	err = c.do(ctx, "POST", groupPath(name)+"/fill", r, &out)
	return out, err
}
