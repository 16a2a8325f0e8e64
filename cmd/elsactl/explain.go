// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"elsa/internal/escape"
	"elsa/pkg/client"
)

func explainCommand(c *ctl) *cobra.Command {
	return &cobra.Command{
		Use:   "explain PID",
		Short: "Say why a process is in its groups",
		Long: `Say why a process is in its groups: who forked it, who forked that one, and so
on up to the process that a user or a rule put in the group. An ancestor that
ended is named as it was called then.

The chain is not known where elsad could not see it: past an ancestor that
ended while elsad was not running, or that ended before elsad was killed. What
was put in the group before is then listed: it is a descendant of one of these.
Ended ancestors are remembered as long as they have live descendants, 16384 at
most; of each group the last 256 processes that were put in it.`,
		Example: "  elsactl explain $(pgrep -n cc1)",
		Args:    between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			pids, err := parsePIDs(args)
			if err != nil {
				return err
			}
			e, err := c.client().Explain(cmd.Context(), pids[0])
			if err != nil {
				return err
			}
			return c.printAs(e, explainRows(&e), func() { c.explain(&e) })
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

func (c *ctl) explain(e *client.Explanation) {
	who := fmt.Sprintf("process %d (%s, user %s, started %s)", e.PID, escape.Text(e.Command), userName(e.UID), clock(e.Started))
	switch {
	case e.Unattributed:
		fmt.Fprintf(c.stdout, "%s is unattributed: events were lost, and nothing proves where it belongs\n", who)
		return
	case len(e.Groups) == 0:
		fmt.Fprintf(c.stdout, "%s is in no group\n", who)
		return
	}
	fmt.Fprintf(c.stdout, "%s is in %s\n", who, count(len(e.Groups), "group"))
	for _, m := range e.Groups {
		how := ""
		if m.Inferred {
			how = " (inferred: events were lost; parents are those that /proc showed)"
		}
		fmt.Fprintf(c.stdout, "\ngroup %s%s\n", m.Group, how)
		t := newTable()
		for i, a := range m.Chain {
			t.row(fmt.Sprintf("  %d", a.PID), a.Command, fate(a), reason(&m, i))
		}
		if m.Origin == nil {
			t.row("  ?", "", "", "not known: it ended unseen")
		}
		t.write(c.stdout)
		if m.Origin != nil {
			continue
		}
		if len(m.Candidates) == 0 {
			fmt.Fprintln(c.stdout, "  what was put in the group before is not known any more")
			continue
		}
		fmt.Fprintln(c.stdout, "  it is a descendant of one of those that were put in the group before:")
		t = newTable()
		for _, o := range m.Candidates {
			t.row(fmt.Sprintf("  %d", o.PID), o.Command, putBy(&o))
		}
		t.write(c.stdout)
	}
}

func fate(a client.Ancestor) string {
	switch {
	case !a.Ended.IsZero():
		return "ended " + clock(a.Ended)
	case a.Left:
		return "left the group since"
	}
	return "lives"
}

// reason is why the process at place i of the chain is in the group.
func reason(m *client.Membership, i int) string {
	if i == len(m.Chain)-1 {
		if m.Origin != nil {
			return putBy(m.Origin)
		}
		return fmt.Sprintf("forked %s by", clock(m.Chain[i].Started))
	}
	return fmt.Sprintf("forked %s by", clock(m.Chain[i].Started))
}

func putBy(o *client.Origin) string {
	switch {
	case o.Rule > 0:
		return fmt.Sprintf("put in %s by the rule in line %d", clock(o.Time), o.Rule)
	case o.UID != nil:
		return fmt.Sprintf("put in %s by user %s", clock(o.Time), userName(*o.UID))
	}
	return "put in " + clock(o.Time)
}

// explainRow is one process of one chain as a line of CSV. How is fork, add,
// rule or unknown: how it came into the group.
type explainRow struct {
	Group    string    `json:"group"`
	Depth    int       `json:"depth"`
	PID      int       `json:"pid"`
	Command  string    `json:"command"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended"`
	How      string    `json:"how"`
	Inferred bool      `json:"inferred"`
	PutAt    time.Time `json:"put_at"`
	PutByUID *uint32   `json:"put_by_uid"`
	Rule     int       `json:"rule"`
}

func explainRows(e *client.Explanation) []explainRow {
	rows := []explainRow{}
	for _, m := range e.Groups {
		for i, a := range m.Chain {
			r := explainRow{Group: m.Group, Depth: i, PID: a.PID, Command: a.Command, Started: a.Started, Ended: a.Ended, How: "fork", Inferred: m.Inferred}
			if i == len(m.Chain)-1 {
				switch o := m.Origin; {
				case o == nil:
					r.How = "unknown"
				case o.Rule > 0:
					r.How, r.PutAt, r.Rule = "rule", o.Time, o.Rule
				default:
					r.How, r.PutAt, r.PutByUID = "add", o.Time, o.UID
				}
			}
			rows = append(rows, r)
		}
	}
	return rows
}
