// SPDX-License-Identifier: Apache-2.0

// Package traceevent checks files in the Trace Event Format, as Perfetto and
// chrome://tracing read it.
package traceevent

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

// Trace is a file that was checked.
type Trace struct {
	Events []Event           `json:"traceEvents"`
	Other  map[string]string `json:"otherData"`
}

// Event is an element of it. TS and Dur are in microseconds.
type Event struct {
	Ph       string
	PID, TID int
	TS, Dur  json.Number
	Name     string
	Args     map[string]any
}

// Start and Length are the times of an event in nanoseconds.
func (e *Event) Start() (int64, error)  { return nanos(e.TS) }
func (e *Event) Length() (int64, error) { return nanos(e.Dur) }

// nanos are the ns of a number of µs with three decimals.
func nanos(n json.Number) (ns int64, err error) {
	whole, part, _ := strings.Cut(string(n), ".")
	if len(part) != 3 {
		return 0, fmt.Errorf("read time %q: it has not three decimals", n)
	}
	_, err = fmt.Sscan(whole+part, &ns)
	return ns, err
}

// place is a track, or with TID 0 its process.
type place struct{ pid, tid int }

// slice is a complete event, in ns.
type slice struct{ from, to int64 }

// checker has what was read.
type checker struct {
	tracks      map[place][]slice
	named, used map[place]bool
	counters    map[string]Event // the last of each
}

// Check reads a file and checks the rules of the format: every event has its kind,
// process, track, time and name; slices of a track lie apart or in each other, whatever
// the order they are read in; no time is negative; counters go forward, are never
// negative and end at 0; processes and tracks that are used have a name.
func Check(text []byte) (*Trace, error) {
	var raw struct {
		Events []map[string]json.RawMessage `json:"traceEvents"`
	}
	var t Trace
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("read trace: %w", err)
	}
	if err := json.Unmarshal(text, &t); err != nil {
		return nil, fmt.Errorf("read trace: %w", err)
	}
	c := checker{map[place][]slice{}, map[place]bool{}, map[place]bool{}, map[string]Event{}}
	for i := range t.Events {
		for _, member := range []string{"ph", "pid", "tid", "ts", "name"} {
			if _, ok := raw.Events[i][member]; !ok {
				return nil, fmt.Errorf("event %d has no %s", i, member)
			}
		}
		if err := c.event(&t.Events[i]); err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
	}
	for name, e := range c.counters {
		for k, v := range e.Args {
			if v != 0.0 {
				return nil, fmt.Errorf("%s of %s ends at %v", k, name, v)
			}
		}
	}
	for p := range c.used {
		if !c.named[p] {
			return nil, fmt.Errorf("process %d, track %d has no name", p.pid, p.tid)
		}
	}
	return &t, nil
}

func (c *checker) event(e *Event) error {
	at, err := e.Start()
	if err != nil || at < 0 {
		return fmt.Errorf("it is at %s: %v", e.TS, err)
	}
	switch e.Ph {
	case "M":
		switch e.Name {
		case "process_name":
			c.named[place{e.PID, 0}] = true
		case "thread_name":
			c.named[place{e.PID, e.TID}] = true
		}
	case "X":
		return c.slice(e, at)
	case "C":
		if last, ok := c.counters[e.Name]; ok {
			if before, err := last.Start(); err != nil || at < before {
				return fmt.Errorf("counter %s goes back", e.Name)
			}
		}
		for name, v := range e.Args {
			if n, ok := v.(float64); !ok || n < 0 || math.IsInf(n, 0) {
				return fmt.Errorf("%s of %s is %v", name, e.Name, v)
			}
		}
		c.counters[e.Name] = *e
	default:
		return fmt.Errorf("kind %q", e.Ph)
	}
	return nil
}

func (c *checker) slice(e *Event, at int64) error {
	length, err := e.Length()
	if err != nil || length < 0 {
		return fmt.Errorf("it lasts %s: %v", e.Dur, err)
	}
	p, s := place{e.PID, e.TID}, slice{at, at + length}
	c.used[p], c.used[place{e.PID, 0}] = true, true
	for _, o := range c.tracks[p] {
		apart := s.to <= o.from || o.to <= s.from
		within := o.from < s.from && s.to <= o.to || s.from < o.from && o.to <= s.to
		if !apart && !within {
			return fmt.Errorf("%v is on track %v with %v", s, p, o)
		}
	}
	c.tracks[p] = append(c.tracks[p], s)
	return nil
}
