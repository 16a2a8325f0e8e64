// SPDX-License-Identifier: Apache-2.0

// Package query says which of the processes that ended are asked for, and how they are
// to be shown. It is what elsactl hands to elsa-archive, which reads the archive.
package query

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Query asks for processes that ended. The zero value asks for all of them.
type Query struct {
	Group   string    `json:"group,omitempty"`   // in this group
	User    string    `json:"user,omitempty"`    // of this user: a name or a number
	Command string    `json:"command,omitempty"` // of this command
	Exit    string    `json:"exit,omitempty"`    // one of Exits
	PID     int32     `json:"pid,omitempty"`
	Tree    string    `json:"tree,omitempty"`  // PID[@START]: it and its descendants
	Where   string    `json:"where,omitempty"` // an expression that holds for them
	Since   time.Time `json:"since,omitzero"`  // ended then or later
	Until   time.Time `json:"until,omitzero"`  // ended before
	Sort    string    `json:"sort,omitempty"`  // one of Sorts, the most first
	Top     int       `json:"top,omitempty"`   // at most so many rows; 0 is all
	By      []string  `json:"by,omitempty"`    // sums, of Bys, instead of processes
	Format  string    `json:"format,omitempty"`
}

// The values of members.
var (
	Exits   = []string{"zero", "nonzero", "signal"}
	Sorts   = []string{"ended", "cpu", "elapsed", "memory", "io"}
	Bys     = []string{"group", "command", "user", "hour", "day", "exit", "host"}
	Formats = []string{"table", "json", "csv", "parquet", "trace"}
)

// DefaultTop is how many rows there are, sorted, where Top does not say.
const DefaultTop = 20

// maxWhere bounds an expression.
const maxWhere = 1 << 10

// maxTop bounds the rows that are sorted.
const maxTop = 100_000

// Check refuses what makes no sense.
func (q *Query) Check() error {
	for _, c := range []struct {
		flag, value string
		of          []string
	}{{"exit", q.Exit, Exits}, {"sort", q.Sort, Sorts}, {"format", q.Format, Formats}} {
		if c.value != "" && !slices.Contains(c.of, c.value) {
			return fmt.Errorf("unknown --%s %q; use %s", c.flag, c.value, strings.Join(c.of, ", "))
		}
	}
	for i, by := range q.By {
		if !slices.Contains(Bys, by) || slices.Contains(q.By[:i], by) {
			return fmt.Errorf("unknown --by %q, or it is there twice; use %s", by, strings.Join(Bys, ", "))
		}
	}
	if len(q.By) > 0 && (q.Format == "parquet" || q.Format == "trace") {
		return fmt.Errorf("sums are not written as %s: use csv", q.Format)
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return fmt.Errorf("--since is not before --until")
	}
	if q.Top < 0 || q.Top > maxTop {
		return fmt.Errorf("bad --top %d: use 0 to %d", q.Top, maxTop)
	}
	if len(q.Where) > maxWhere {
		return fmt.Errorf("bad --where: it is %d bytes; use at most %d", len(q.Where), maxWhere)
	}
	if _, _, err := q.Root(); err != nil {
		return err
	}
	return nil
}

// Root is the process that Tree names; started is zero if it does not say.
func (q *Query) Root() (pid int32, started time.Time, err error) {
	if q.Tree == "" {
		return 0, started, nil
	}
	text, at, dated := strings.Cut(q.Tree, "@")
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n <= 0 {
		return 0, started, fmt.Errorf("bad --tree %q: use PID or PID@START, START as in RFC 3339 or in ns since 1970", q.Tree)
	}
	if !dated {
		return int32(n), started, nil
	}
	if ns, err := strconv.ParseInt(at, 10, 64); err == nil {
		return int32(n), time.Unix(0, ns), nil
	}
	if started, err = time.Parse(time.RFC3339Nano, at); err != nil {
		return 0, started, fmt.Errorf("bad --tree %q: use PID or PID@START, START as in RFC 3339 or in ns since 1970", q.Tree)
	}
	return int32(n), started, nil
}
