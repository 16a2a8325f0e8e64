// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"elsa/internal/query"
	"elsa/pkg/client"
)

// filling is a fill under way.
type filling struct {
	*ctl
	client *client.Client
	group  string
	query  query.Query
	dir    string
	dry    bool
	live   bool
	owner  *uint32
	out    filled
	root   *client.Process // of the tree
	said   bool            // elsa-archive came to its end
	asked  time.Time       // what ended since then is asked for
	living int
	before uint64 // rows that earlier tries took
}

// filled is what elsactl group fill did, for a program.
type filled struct {
	Group string `json:"group"`
	// DryRun: nothing was changed. Created: the group was made.
	DryRun  bool `json:"dry_run"`
	Created bool `json:"created"`
	// Processes is how many ended processes the group took, in as many Rows: one that
	// changed its groups has several.
	Processes uint64 `json:"processes"`
	Rows      uint64 `json:"rows"`
	// What they used.
	CPUSeconds       float64 `json:"cpu_seconds"`
	CPUUserSeconds   float64 `json:"cpu_user_seconds"`
	CPUSystemSeconds float64 `json:"cpu_system_seconds"`
	ReadBytes        uint64  `json:"read_bytes"`
	WriteBytes       uint64  `json:"write_bytes"`
	MaxRSSBytes      uint64  `json:"max_rss_bytes"`
	Exact            uint64  `json:"exact"`
	Sampled          uint64  `json:"sampled"`
	Rounded          uint64  `json:"rounded"`
	Inferred         uint64  `json:"inferred"`
	// First and Last are when the first and the last of them ended.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	// Rows that match and were not taken: the group had them, their figures are not final,
	// they came after the call, too many groups have them.
	Had       uint64 `json:"had"`
	Unsettled uint64 `json:"unsettled"`
	Late      uint64 `json:"late"`
	Crowded   uint64 `json:"crowded"`
	// Added are the living processes that were added, with all they used so far.
	Added []int `json:"added"`
	// Complete: every process that ended at CompleteSince or later is in the archive.
	Complete      bool      `json:"complete"`
	CompleteSince time.Time `json:"complete_since,omitzero"`
}

func fillCommand(c *ctl) *cobra.Command {
	var f filling
	var since, until string
	var owner uint32
	cmd := &cobra.Command{
		Use:   "fill NAME (--tree PID[@START] | --where EXPR --since TIME) [--since TIME] [--until TIME] [--live] [--dry-run] [--owner UID]",
		Short: "Put processes that have ended in a group",
		Long: `Put processes that have ended in a group, which is made if it is missing: a
process and all that descends from it, or all for which an expression holds, of
those in the archive. Their use is on the group's bill, and in its reports by
the hour, as the archive has it. It stays on the bills of the groups that they
were in, and no total changes: (total), (ungrouped) and elsactl bill have every
process once, where it was when it ended.

A process counts once in a group: those that were in it, or were taken before,
are passed over. So the same may be asked again, after a failure or when more
have ended, and takes what is new.

With --live, the descendants that still run are added, too, with all that was
not billed to a group yet. The archive says how far back it is complete; what
ended before is not in the group. --dry-run shows what would be taken.

EXPR is as in elsactl processes --where, and TIME as in elsactl report. See
docs/archive.md. It is for root and members of the unix group elsa.`,
		Example: `  elsactl group fill build/17 --tree 4711@2026-03-04T05:06:07Z --dry-run
  elsactl group fill build/17 --tree 4711@2026-03-04T05:06:07Z --live
  elsactl group fill compilers --where 'command in ["cc1", "ld"]' --since 7d`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			now := time.Now()
			f.ctl, f.client, f.group = c, c.client(), args[0]
			if f.query.Since, err = parseTime(since, now); err != nil {
				return err
			}
			if f.query.Until, err = parseTime(until, now); err != nil {
				return err
			}
			if cmd.Flags().Changed("owner") {
				f.owner = &owner
			}
			switch q := &f.query; {
			case q.Tree == "" && q.Where == "":
				return badUsage("say which processes: --tree PID@START, or --where EXPR with --since TIME")
			case q.Tree == "" && q.Since.IsZero():
				return badUsage("--where needs --since, which says how far back to look")
			case f.live && q.Tree == "":
				return badUsage("--live goes on with the living of --tree")
			case f.live && q.Where != "":
				return badUsage("--live and --where: use one of them; an expression is about what has ended")
			}
			if err := f.query.Check(); err != nil {
				return badUsage("%w", err)
			}
			return f.run(cmd.Context())
		},
		ValidArgsFunction: c.completeGroup,
	}
	fl := cmd.Flags()
	fl.StringVar(&f.query.Tree, "tree", "", "take a process and its descendants: `PID`, or PID@START if the pid was used again")
	fl.StringVar(&f.query.Where, "where", "", "take those for which `EXPR` holds")
	fl.StringVar(&since, "since", "", "take what ended at `TIME` or later")
	fl.StringVar(&until, "until", "", "take what ended before `TIME`")
	fl.BoolVar(&f.live, "live", false, "add the descendants that still run, too")
	fl.BoolVar(&f.dry, "dry-run", false, "show what would be taken, and change nothing")
	fl.Uint32Var(&owner, "owner", 0, "let the group be that of this `UID`, though they are not its processes")
	fl.StringVar(&f.dir, "archive-dir", "", "read the archive in `DIR`")
	return cmd
}

// fillTries is how often a fill begins again because others fill groups meanwhile.
const fillTries = 5

func (f *filling) run(ctx context.Context) error {
	f.out = filled{Group: f.group, DryRun: f.dry, Added: []int{}}
	pid, started, err := f.query.Root()
	if err != nil {
		return err
	}
	if pid != 0 {
		f.root = &client.Process{PID: int(pid), Started: started}
	}
	if f.asked = f.query.Since; f.query.Since.IsZero() && !started.IsZero() {
		f.asked, f.query.Since = started, started.Add(-time.Second) // nobody of the tree ended before
	}
	if f.live && !f.dry { // first: who ends from now on is in the group
		if err := f.addLiving(ctx); err != nil {
			return err
		}
	}
	var ended error
	for try := 1; ; try++ {
		var stale bool
		f.before = f.out.Rows
		stale, ended = f.take(ctx)
		if !stale || try == fillTries {
			break
		}
	}
	if !f.said {
		return ended
	}
	if f.out.Rows+f.out.Had+f.out.Unsettled+f.out.Late+f.out.Crowded == 0 && len(f.out.Added) == 0 {
		if f.out.Created { // for the living, of which there were none
			f.client.DeleteGroup(ctx, f.group)
		}
		f.complain(fmt.Errorf("no process that ended matches; %s", f.complete()))
		return &exitError{status: statusFailed}
	}
	if err := f.printAs(f.out, filledRow{f.out, numbers(f.out.Added)}, f.text); err != nil {
		return err
	}
	return ended // some of the archive is damaged: elsa-archive named it
}

// addLiving puts the living of the tree in the group.
func (f *filling) addLiving(ctx context.Context) error {
	if err := f.make(ctx); err != nil {
		return err
	}
	a, err := f.client.AddMembers(ctx, f.group, client.AddRequest{LivingOf: f.root, WholeLife: true, Owner: f.owner})
	if err == nil {
		f.out.Added = append(f.out.Added, a.Added...)
	}
	return err
}

// make makes the group if it is missing.
func (f *filling) make(ctx context.Context) error {
	_, err := f.client.CreateGroup(ctx, client.CreateGroupRequest{Name: f.group})
	switch status(err) {
	case http.StatusConflict: // it is there
		return nil
	case 0:
		f.out.Created = err == nil
	}
	return err
}

// take lets the group take what the archive has. stale means that it is to begin again.
func (f *filling) take(ctx context.Context) (stale bool, err error) {
	stop := f.waiting("waiting for the records of processes that ended")
	st, err := f.client.FillState(ctx, client.FillQuery{LivingOf: f.root})
	stop()
	if err != nil {
		return false, err
	}
	f.living = len(st.Living)
	there := slices.ContainsFunc(st.Groups, func(g client.FillGroup) bool { return g.Name == f.group })
	text, err := json.Marshal(&f.query)
	if err != nil {
		return false, err
	}
	cmd, err := f.archiveCommand(f.dir, "fill", "--query", string(text), "--group", f.group)
	if err != nil {
		return false, err
	}
	state, err := json.Marshal(&st)
	if err != nil {
		return false, err
	}
	cmd.Stdin = strings.NewReader(string(state))
	lines, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, fmt.Errorf("run elsa-archive: %w", err)
	}
	giveUp := func(err error) (bool, error) {
		cmd.Process.Kill()
		cmd.Wait()
		return false, err
	}
	for d := json.NewDecoder(lines); ; {
		var line query.FillLine
		if err := d.Decode(&line); err != nil {
			break // it says itself why it ended, or has said all
		}
		switch {
		case line.Done != nil:
			f.done(line.Done)
		case line.Fill != nil && !f.dry:
			if !there {
				if err := f.make(ctx); err != nil {
					return giveUp(err)
				}
				there = true
			}
			line.Fill.Version, line.Fill.Owner = st.Version, f.owner
			r, err := f.client.FillGroup(ctx, f.group, *line.Fill)
			if err != nil {
				_, err := giveUp(f.failed(err))
				now, asked := f.client.FillState(ctx, client.FillQuery{})
				return status(err) == http.StatusConflict && asked == nil && now.Version != st.Version, err
			}
			st.Version = r.Version
			for _, cell := range line.Fill.Cells {
				f.add(line.Fill.Columns, cell.Figures)
			}
			f.out.Rows += r.Rows
		}
	}
	return false, archiveEnded(cmd.Wait())
}

// failed says what to do after a request failed: some of the group may be filled.
func (f *filling) failed(err error) error {
	if f.out.Rows == 0 || status(err) != 0 && status(err) != http.StatusServiceUnavailable {
		return err
	}
	return fmt.Errorf("%w; %d rows were taken before: ask again, and it goes on", err, f.out.Rows)
}

// done takes what elsa-archive says in the end.
func (f *filling) done(d *query.FillDone) {
	o := &f.out
	f.said = true
	if f.dry {
		o.Rows = d.Rows
		f.add(d.Columns, d.Figures)
	}
	o.Had, o.Unsettled, o.Late, o.Crowded = d.Had-min(d.Had, f.before), d.Unsettled, d.Late, d.Crowded
	o.First, o.Last, o.Complete, o.CompleteSince = d.First, d.Last, d.Complete, d.CompleteSince
}

// add adds figures of columns.
func (f *filling) add(columns []string, figures []uint64) {
	o := &f.out
	for i, c := range columns {
		n := figures[i]
		switch c {
		case "processes_ended":
			o.Processes += n
		case "cpu_user_ns":
			o.CPUUserSeconds += time.Duration(n).Seconds()
		case "cpu_system_ns":
			o.CPUSystemSeconds += time.Duration(n).Seconds()
		case "read_bytes":
			o.ReadBytes += n
		case "write_bytes":
			o.WriteBytes += n
		case "max_rss_bytes":
			o.MaxRSSBytes = max(o.MaxRSSBytes, n)
		case "exact":
			o.Exact += n
		case "sampled":
			o.Sampled += n
		case "rounded":
			o.Rounded += n
		case "inferred":
			o.Inferred += n
		}
	}
	o.CPUSeconds = o.CPUUserSeconds + o.CPUSystemSeconds
}

// filledRow is filled as a line of CSV.
type filledRow struct {
	filled
	Added string `json:"added"`
}

func (f *filling) text() {
	o := &f.out
	verb := "took"
	switch {
	case f.dry:
		verb = "would take"
	case o.Created:
		fmt.Fprintf(f.stdout, "created group %s\n", o.Group)
	}
	if o.Rows == 0 {
		fmt.Fprintf(f.stdout, "nothing to take for group %s\n", o.Group)
	} else {
		fmt.Fprintf(f.stdout, "group %s %s %s that ended from %s to %s: CPU %s, read %s, written %s\n", o.Group, verb,
			count(int(o.Processes), "process"), clock(o.First), clock(o.Last), seconds(o.CPUSeconds), bytes(o.ReadBytes), bytes(o.WriteBytes))
	}
	for _, left := range []struct {
		n   uint64
		why string
	}{
		{o.Had, "in the group already"},
		{o.Unsettled, "left out, since what they used is not final: ask again later"},
		{o.Late, "left out, since they ended after the call: ask again"},
		{o.Crowded, "left out, since too many groups have them"},
	} {
		if left.n > 0 {
			fmt.Fprintf(f.stdout, "%s %s\n", count(int(left.n), "row"), left.why)
		}
	}
	if f.live && f.dry {
		fmt.Fprintf(f.stdout, "%s that %s would be added\n", count(f.living, "process"), runs(f.living))
	} else if f.live {
		fmt.Fprintf(f.stdout, "added %s that %s\n", count(len(o.Added), "process"), runs(len(o.Added)))
	}
	fmt.Fprintln(f.stdout, f.complete())
}

func runs(n int) string {
	if n == 1 {
		return "still runs"
	}
	return "still run"
}

// complete says how far back the archive is complete.
func (f *filling) complete() string {
	o := &f.out
	switch {
	case !o.Complete:
		return "it is not known from when on the archive is complete"
	case f.asked.IsZero() || f.asked.Before(o.CompleteSince):
		return fmt.Sprintf("the archive is complete since %s; what ended before may be missing", clock(o.CompleteSince))
	}
	return fmt.Sprintf("the archive is complete since %s", clock(o.CompleteSince))
}
