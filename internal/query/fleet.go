// SPDX-License-Identifier: Apache-2.0

package query

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"elsa/pkg/client"
	"elsa/pkg/groups"
)

// Fleet asks for a report over all hosts.
type Fleet struct {
	// Groups are names, patterns or parents, as in [client.ReportQuery].
	Groups []string `json:"groups,omitempty"`
	// By is one of FleetBys.
	By    string    `json:"by"`
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

// FleetBys are the values of [Fleet].By.
var FleetBys = []string{"group", "command", "user", "hour", "host"}

// Check refuses what makes no sense.
func (q *Fleet) Check() error {
	if !slices.Contains(FleetBys, q.By) {
		return fmt.Errorf("unknown --by %q; use %s", q.By, strings.Join(FleetBys, ", "))
	}
	for _, g := range q.Groups {
		if err := groups.CheckPattern(g); err != nil {
			return err
		}
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return fmt.Errorf("--since is not before --until")
	}
	return nil
}

// FleetReport is a report over all hosts, and how complete it is.
type FleetReport struct {
	client.Report
	Fleet Completeness `json:"fleet"`
}

// FleetStatus is how far all hosts have delivered.
type FleetStatus struct {
	Hosts []Host       `json:"hosts"`
	Fleet Completeness `json:"fleet"`
}

// Completeness says of which hosts all is there.
type Completeness struct {
	Hosts    int `json:"hosts"`
	Complete int `json:"complete"`
	// Through: of those that are complete, what ended before is there.
	Through   time.Time `json:"through,omitzero"`
	Conflicts int       `json:"conflicts"`
	// Incomplete are the hosts that are not complete, the farthest behind first.
	Incomplete []Host `json:"incomplete"`
}

// The states of a host.
const (
	Complete = "complete"
	Behind   = "behind"   // what ended lately is not there yet
	Missing  = "missing"  // files that it has sent are not there
	Damaged  = "damaged"  // files are there that cannot be read
	Partial  = "lost"     // hours were never sent, as they were too old or too much
	Conflict = "conflict" // two hosts deliver under its identity
	Unknown  = "unknown"  // there are files, and nothing says how many there should be
)

// Host is a host as far as it has delivered.
type Host struct {
	Host    string    `json:"host"`
	Source  string    `json:"source"`
	State   string    `json:"state"`
	Through time.Time `json:"through,omitzero"`
	Behind  float64   `json:"behind_seconds"`
	Files   int       `json:"files"`
	Rows    uint64    `json:"rows"`
	CPU     float64   `json:"cpu_seconds"`
	// LostFiles and LostCPU were never sent.
	LostFiles uint64  `json:"lost_files"`
	LostCPU   float64 `json:"lost_cpu_seconds"`
}

// maxNamed is how many hosts that are not complete a line names.
const maxNamed = 3

// Line is the last line of a report.
func (c *Completeness) Line(at func(time.Time) string) string {
	parts := []string{plural(c.Hosts, "host"), fmt.Sprintf("%d complete", c.Complete)}
	if c.Complete > 0 {
		parts[1] += " to " + at(c.Through)
	}
	for i, h := range c.Incomplete {
		if i == maxNamed {
			parts = append(parts, fmt.Sprintf("%d more are not", len(c.Incomplete)-i))
			break
		}
		parts = append(parts, h.Host+" "+h.what())
	}
	return strings.Join(append(parts, plural(c.Conflicts, "conflict")), "; ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (h *Host) what() string {
	switch h.State {
	case Behind:
		return ago(time.Duration(h.Behind*float64(time.Second))) + " behind"
	case Missing:
		return "has files missing"
	case Damaged:
		return "has damaged files"
	case Partial:
		return "has hours that were never sent"
	case Conflict:
		return "is two hosts"
	}
	return "is not known to be complete"
}

// ago is a duration for a person.
func ago(d time.Duration) string {
	switch {
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}
