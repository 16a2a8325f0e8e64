// SPDX-License-Identifier: Apache-2.0

package query

import (
	"errors"
	"fmt"
	"time"
)

// DefaultSocket is where elsa-archive answers.
const DefaultSocket = "/run/elsa-archive/query.sock"

// Bounds of a [Life].
const (
	MaxWindow    = time.Hour      // from Since to Until of what is asked
	LateEnds     = 24 * time.Hour // who ended later than so long after is not in it
	MaxSpans     = 400
	MaxRows      = 64
	MaxBands     = 9
	MaxSteps     = 300
	MaxCostliest = 20
	MaxDamage    = 20
	// MaxLife is how many bytes its JSON may have.
	MaxLife = 1 << 20
)

// Life is the life of a group in an hour or less, process by process, as a picture
// shows it. It is of the processes that lived then and have ended, or of parts of them. Times are nanoseconds, of the wall clock since 1970.
type Life struct {
	// Since and Until are the time in which there is something to see, within that which
	// was asked for.
	Since int64 `json:"since"`
	Until int64 `json:"until"`
	// Through is up to when who ended is in it.
	Through int64 `json:"through"`
	// Oldest is the first day that is kept, as 2006-01-02; empty: only the journal is.
	Oldest string `json:"oldest,omitempty"`
	// Owner is the only user whose processes were looked at; nil: all were.
	Owner *uint32 `json:"owner,omitempty"`
	// Processes and CPU are how many there were, and what they used.
	Processes int64 `json:"processes"`
	CPU       int64 `json:"cpu_ns"`
	// Step is how long a step is in which Live, CPUs and the bands count.
	Step int64 `json:"step_ns"`
	// Live are how many lived on average, and CPUs how many CPUs they used, what each
	// used spread evenly over its life.
	Live []float64 `json:"live"`
	CPUs []float64 `json:"cpus"`
	// Spans are the processes that are drawn one by one, by their start, in so many rows.
	Spans []Span `json:"spans"`
	Rows  int    `json:"rows"`
	// Bands are all others, by command, the costliest first.
	Bands []Band `json:"bands"`
	// Commands are the costliest commands; so many more are left out.
	Commands     []Command `json:"commands"`
	MoreCommands int       `json:"more_commands"`
	// Costliest are the processes that used most CPU, which all have a span.
	Costliest []Process `json:"costliest"`
	// Damage is what could not be read.
	Damage []string `json:"damage,omitempty"`
}

// Span is a process, or a part of its life, with all parts that were found. In a row it lies
// apart from all others; its parent is in a row above it or in another place.
type Span struct {
	Started int64  `json:"started"`
	Ended   int64  `json:"ended"`
	CPU     int64  `json:"cpu_ns"`
	PID     int32  `json:"pid"`
	Row     int    `json:"row"`
	Command string `json:"command"`
	Part    bool   `json:"part,omitempty"`
}

// Band are processes of a command that have no span of their own.
type Band struct {
	Command   string    `json:"command"` // empty: of all others
	Processes int64     `json:"processes"`
	CPU       int64     `json:"cpu_ns"`
	Live      []float64 `json:"live"` // by step
}

// Command is what the processes of a command used.
type Command struct {
	Command   string `json:"command"`
	Processes int64  `json:"processes"`
	CPU       int64  `json:"cpu_ns"`
	Elapsed   int64  `json:"elapsed_ns"`
	MaxRSS    int64  `json:"max_rss_bytes"`
}

// Process is one that ended, or a part of it.
type Process struct {
	PID     int32  `json:"pid"`
	User    string `json:"user"`
	Command string `json:"command"`
	Started int64  `json:"started"`
	Elapsed int64  `json:"elapsed_ns"`
	CPU     int64  `json:"cpu_ns"`
	MaxRSS  int64  `json:"max_rss_bytes"`
	Status  int64  `json:"status"` // as wait(2); -1: not known, or a part
}

// CheckLife refuses what no [Life] is of: it takes a group and a window, and nothing else.
func (q *Query) CheckLife() error {
	want := Query{Group: q.Group, Since: q.Since, Until: q.Until}
	switch {
	case fmt.Sprint(*q) != fmt.Sprint(want) || q.Group == "":
		return errors.New("a life is of a group, and of nothing else")
	case q.Since.IsZero() || q.Until.IsZero() || !q.Since.Before(q.Until) || q.Until.Sub(q.Since) > MaxWindow:
		return fmt.Errorf("a life takes a time of %v at most", MaxWindow)
	}
	return nil
}

// Check refuses an answer that does not keep the bounds, whoever gave it.
func (l *Life) Check() error {
	steps := int64(0)
	if l.Step > 0 && l.Until > l.Since {
		steps = (l.Until-l.Since-1)/l.Step + 1
	}
	ok := len(l.Spans) <= MaxSpans && l.Rows <= MaxRows && len(l.Bands) <= MaxBands && steps <= MaxSteps &&
		int64(len(l.Live)) == steps && int64(len(l.CPUs)) == steps && len(l.Commands) <= MaxCostliest && len(l.Costliest) <= MaxCostliest && len(l.Damage) <= MaxDamage
	for i := range l.Spans {
		s := &l.Spans[i]
		ok = ok && s.Row >= 0 && s.Row < l.Rows && s.Started <= s.Ended
	}
	for i := range l.Bands {
		ok = ok && int64(len(l.Bands[i].Live)) == steps
	}
	if !ok {
		return errors.New("read life of a group: malformed")
	}
	return nil
}
