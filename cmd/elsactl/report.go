// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"elsa/pkg/client"
	"elsa/pkg/usage"
)

// reportBy are the values of report --by: those of the service; day, which is one of the
// user's own zone; and host, over several.
var reportBy = []string{"group", "command", "user", "hour", "day", "host"}

func reportCommand(c *ctl) *cobra.Command {
	var q client.ReportQuery
	var since, until, order, from string
	var complete bool
	cmd := &cobra.Command{
		Use:   "report [--group NAME]... [--by WHAT] [--since TIME] [--until TIME] [--mine] [--sort COLUMN] [--wait] [--from WHERE [--complete]]",
		Short: "Show what processes used over a time",
		Long: `Show what processes used within a time, by group, command, user, hour or day; of
the whole machine, or of the groups that are named. PROCESSES are those that
ended, and ELAPSED is the sum of their life times. MINOR and MAJOR are page
faults without and with I/O. JSON and CSV have more columns: I/O, memory, context
switches, exits and how well the CPU time is known.

What processes in groups use is in the hours in which they use it, to the
second, also while they live; of one that left a group, up to then. What a
process in no group used is in the hour in which it ended. A process in several
groups counts in each, and once in (total). Sums are kept by the hour, and by
the UTC day once they are a week old (elsad --history-hours): the times are
widened to whole ones, and --by hour shows days where hours are not known any
more.

TIME is a duration before now (90m, 36h, 7d), a time of day (02:00: the last time
it was that), a date (2026-03-04), a date and time (2026-03-04 05:06), today,
yesterday, or as in RFC 3339.

NAME may be a pattern ('ci/*') or a parent: ci/ is one row for ci/*, in which a
process that is in several of these counts once.

Commands and users of the whole machine are shown to root and members of the
unix group elsa. With --mine everybody sees what their own processes used, in
whatever groups.`,
		Example: `  elsactl report --since today
  elsactl report --since 02:00 --until 03:00
  elsactl report --group ci --by command --since 7d --sort elapsed
  elsactl report --mine --by command --since 7d
  elsactl report --by day --since 2026-03-01 --until 2026-04-01 -o csv`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			now := time.Now()
			if q.Since, err = parseTime(since, now); err != nil {
				return err
			}
			if q.Until, err = parseTime(until, now); err != nil {
				return err
			}
			if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
				return badUsage("--since %s is not before --until %s", since, until)
			}
			if q.Since.After(now) {
				return badUsage("--since %s is in the future", since)
			}
			by := q.By
			if !slices.Contains(reportBy, by) {
				return badUsage("unknown --by %q; use %s", by, strings.Join(reportBy, ", "))
			}
			if by == "day" {
				q.By = "hour"
			}
			col, ok := findColumn(order)
			if order != "" && !ok {
				return badUsage("unknown --sort %q; use %s", order, strings.Join(columnNames(), ", "))
			}
			arrange := func(r *client.Report) {
				if by == "day" {
					r.By, r.Rows = by, perDay(r.Rows)
				}
				if order != "" {
					slices.SortStableFunc(r.Rows, func(a, b client.ReportRow) int { return col.compare(by, &a, &b) })
				}
			}
			if from != "" {
				return c.fleetReport(from, &q, arrange, complete)
			}
			if complete || by == "host" {
				return badUsage("--complete and --by host are over several hosts; say which by --from")
			}
			stop := c.waiting("adding up the history")
			r, err := c.client().Report(cmd.Context(), q)
			stop()
			if err != nil {
				return err
			}
			arrange(&r)
			return c.printAs(r, reportRows(&r, len(q.Groups) == 0), func() { c.reportTable(&r, len(q.Groups) == 0) })
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.StringArrayVarP(&q.Groups, "group", "g", nil, "count the processes of the group `NAME` alone; may be repeated")
	f.StringVar(&q.By, "by", "group", "make a row for each `WHAT`: group, command, user, hour, day, or host with --from")
	f.StringVar(&since, "since", "", "count from `TIME` on")
	f.StringVar(&until, "until", "", "count until `TIME`")
	f.BoolVar(&q.Mine, "mine", false, "count your own processes alone")
	f.BoolVar(&q.Wait, "wait", false, "wait until every process that died before is counted, 2 s at most")
	f.StringVar(&from, "from", "", "report over all hosts that deliver to `WHERE`: a directory, or s3://BUCKET/PREFIX")
	f.BoolVar(&complete, "complete", false, "with --from, exit with status 4 if not all hosts are complete")
	f.StringVar(&order, "sort", "", "sort by `COLUMN`, the most first: "+strings.Join(columnNames(), ", "))
	cmd.RegisterFlagCompletionFunc("group", c.completeGroups)
	cmd.RegisterFlagCompletionFunc("by", cobra.FixedCompletions(reportBy, cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(columnNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// column is one to sort by. The name sorts from A to Z and hours by time, all
// others from the most to the least.
type column struct {
	name  string
	value func(*client.Spent) float64
}

var reportColumns = func() []column {
	columns := []column{{"name", nil}, {"cpu", func(s *client.Spent) float64 { return s.CPUSeconds }}}
	for _, f := range usage.Stored {
		if i := f.Info(); i.Sort != "" {
			columns = append(columns, column{i.Sort, func(s *client.Spent) float64 { return client.Figure(s, i.InReport()) }})
		}
	}
	return columns
}()

func columnNames() (names []string) {
	for _, c := range reportColumns {
		names = append(names, c.name)
	}
	return names
}

func findColumn(name string) (column, bool) {
	i := slices.IndexFunc(reportColumns, func(c column) bool { return c.name == strings.ToLower(name) })
	return reportColumns[max(i, 0)], i >= 0
}

func (c column) compare(by string, a, b *client.ReportRow) int {
	if c.value != nil {
		return cmp.Compare(c.value(&b.Spent), c.value(&a.Spent))
	}
	return cmp.Or(a.Hour.Compare(b.Hour), strings.Compare(rowName(by, a), rowName(by, b)))
}

// rowName is what a row is about, for a person.
func rowName(by string, r *client.ReportRow) string {
	switch by {
	case "group":
		return r.Group
	case "command":
		return r.Command
	case "host":
		return r.Host
	case "user":
		if r.User != "" {
			return r.User
		}
		if r.UID == nil || *r.UID == 1<<32-1 {
			return "(unknown)"
		}
		return userName(*r.UID)
	case "day":
		if _, zone := r.Hour.Local().Zone(); r.Daily && zone != 0 {
			return r.Hour.UTC().Format(time.DateOnly) + " (UTC)"
		}
		return r.Hour.Local().Format(time.DateOnly)
	}
	if r.Daily {
		return r.Hour.UTC().Format(time.DateOnly) + " (UTC day)"
	}
	return r.Hour.Local().Format("2006-01-02 15:04")
}

func (c *ctl) reportTable(r *client.Report, all bool) {
	fmt.Fprintf(c.stdout, "from %s to %s\n", clock(r.Since), clock(r.Until))
	t := newTable(strings.ToUpper(r.By), "PROCESSES>", "ELAPSED>", "USER>", "SYSTEM>", "MINOR>", "MAJOR>")
	row := func(name string, s *client.Spent) {
		t.row(name, fmt.Sprint(s.Processes), seconds(s.ElapsedSeconds), seconds(s.CPUUserSeconds), seconds(s.CPUSystemSeconds),
			fmt.Sprint(s.MinorFaults), fmt.Sprint(s.MajorFaults))
	}
	for i := range r.Rows {
		if uid := r.Rows[i].UID; uid != nil {
			users().User(*uid)
		}
	}
	for i := range r.Rows {
		row(rowName(r.By, &r.Rows[i]), &r.Rows[i].Spent)
	}
	if all && r.By == "group" {
		row("(ungrouped)", &r.Ungrouped)
		row("(unattributed)", &r.Unattributed)
	}
	row("(total)", &r.Total)
	t.write(c.stdout)
}

// reportRow is a line of the report as CSV. Scope is what Name is of, or the
// part of the machine the line is about.
type reportRow struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	Scope string    `json:"scope"`
	Name  string    `json:"name"`
	client.Spent
}

func reportRows(r *client.Report, all bool) (rows []reportRow) {
	add := func(scope, name string, s client.Spent) {
		rows = append(rows, reportRow{r.Since, r.Until, scope, name, s})
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		name := rowName(r.By, row)
		switch {
		case r.By == "hour", row.Daily:
			name = row.Hour.UTC().Format(time.RFC3339)
		case r.By == "user" && row.UID != nil:
			name = fmt.Sprint(*row.UID)
		}
		scope := r.By
		if row.Daily {
			scope = "day"
		}
		add(scope, name, row.Spent)
	}
	if all && r.By == "group" {
		add("ungrouped", "", r.Ungrouped)
		add("unattributed", "", r.Unattributed)
	}
	add("total", "", r.Total)
	return rows
}

// perDay adds hours up to days of the local zone.
func perDay(hours []client.ReportRow) []client.ReportRow {
	days := []client.ReportRow{}
	for _, h := range hours {
		if h.Daily { // the parts of a local day are not told apart any more
			days = append(days, h)
			continue
		}
		y, m, d := h.Hour.Local().Date()
		day := startOfDay(y, m, d, time.Local)
		if n := len(days); n == 0 || days[n-1].Daily || !days[n-1].Hour.Equal(day) {
			days = append(days, client.ReportRow{Hour: day})
		}
		days[len(days)-1].Spent.Add(&h.Spent)
	}
	return days
}
