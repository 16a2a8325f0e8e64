// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"elsa/internal/escape"
	"elsa/pkg/client"
	"elsa/pkg/proc"
)

// A mark is a temporary group with two labels: the mark's name, and the pid of the
// process that it was set for.
const (
	markLabel   = "mark"
	markedLabel = "marked_pid"
	// markDefault is the name of a mark that was given none.
	markDefault = "mark"
)

func markCommand(c *ctl) *cobra.Command {
	var pid int
	cmd := &cobra.Command{
		Use:   "mark [NAME] [--pid PID]",
		Short: "Begin to account for this shell",
		Long: `Begin to account for the shell that runs this, and for what it starts:
elsactl usage --since NAME shows what it and its children used from here on,
ended and live. Without NAME the mark is called mark. Marks are of one shell:
others may have some of the same name. One that is set again begins anew.

A mark is a temporary group that has the shell and its live descendants: what
they used so far is not on its bill, and what they start is in it. It is yours,
closed a minute after its last process ended, and deleted some time after
(elsad --run-retention). elsactl, which the shell starts, counts as well.

The process that is marked is the one that runs elsactl. Where that is not the
shell, as under sudo, name the shell (--pid $$).`,
		Example: `  elsactl mark; make; elsactl usage --since mark
  elsactl mark tests; ./run-tests; elsactl usage --since tests --wait -o json`,
		Args: between(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := markDefault
			if len(args) > 0 {
				if name = args[0]; name == "" {
					return badUsage("the name of the mark is empty")
				}
			}
			if cmd.Flags().Changed("pid") {
				if _, err := parsePIDs([]string{strconv.Itoa(pid)}); err != nil {
					return err
				}
			} else if pid = os.Getppid(); pid <= 1 {
				return errors.New("the shell that runs elsactl has ended or cannot be seen from here: name one (--pid)")
			}
			g, err := c.mark(cmd.Context(), name, pid)
			if err != nil {
				return err
			}
			return c.print(g, func() {
				command := "unknown"
				if p, err := proc.Default.Process(int32(pid)); err == nil {
					command = p.Command()
				}
				fmt.Fprintln(c.stdout, escape.Text(fmt.Sprintf("set mark %s of process %d (%s), group %s: elsactl usage --since %[1]s", name, pid, command, g.Name)))
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().IntVar(&pid, "pid", 0, "mark the process `PID` instead of the one that runs elsactl")
	return cmd
}

// mark puts a process and its descendants in a new group. The mark of that name which
// the process had ends.
func (c *ctl) mark(ctx context.Context, name string, pid int) (g client.Group, err error) {
	cl := c.client()
	before, err := marks(ctx, cl, pid)
	if err != nil {
		return g, err
	}
	if g, err = newMark(ctx, cl, name, pid); err != nil {
		return g, err
	}
	if _, err := cl.AddMembers(ctx, g.Name, client.AddRequest{PIDs: []int{pid}, Tree: true}); err != nil {
		if undo := cl.DeleteGroup(ctx, g.Name); undo != nil {
			c.complain(fmt.Errorf("delete group %s, which nothing ran in: %w", g.Name, undo))
		}
		return g, err
	}
	for i := range before {
		old := &before[i]
		if old.Labels[markLabel] != name || old.Labels[markedLabel] != strconv.Itoa(pid) || old.State != "open" {
			continue // another, or that of a shell which this one came from
		}
		if _, err := cl.RemoveMembers(ctx, old.Name, client.RemoveRequest{PIDs: []int{pid}, Tree: true}); err != nil {
			return g, fmt.Errorf("end mark %s, which was set before: %w", old.Name, err)
		}
		if _, err := cl.CloseGroup(ctx, old.Name); err != nil {
			return g, fmt.Errorf("end mark %s, which was set before: %w", old.Name, err)
		}
	}
	return g, nil
}

// newMark makes a group of a name that is not taken.
func newMark(ctx context.Context, cl *client.Client, name string, pid int) (client.Group, error) {
	r := client.CreateGroupRequest{Temporary: true, Labels: map[string]string{markLabel: name, markedLabel: strconv.Itoa(pid)}}
	base := fmt.Sprintf("mark-%s-%d", time.Now().UTC().Format("20060102T150405"), pid)
	r.Name = base
	for try := 2; ; try++ {
		g, err := cl.CreateGroup(ctx, r)
		if status(err) != http.StatusConflict || try > 99 {
			return g, err
		}
		r.Name = fmt.Sprintf("%s-%d", base, try)
	}
}

// marks are the marks that a process is in, those set last first.
func marks(ctx context.Context, cl *client.Client, pid int) (ms []client.GroupUsage, err error) {
	e, err := cl.Explain(ctx, pid)
	if err != nil || len(e.Groups) == 0 {
		return nil, err
	}
	var q client.UsageQuery
	for _, m := range e.Groups {
		q.Groups = append(q.Groups, m.Group)
	}
	r, err := cl.Usage(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, g := range r.Groups {
		if g.Temporary && g.Labels[markLabel] != "" {
			ms = append(ms, g)
		}
	}
	slices.SortStableFunc(ms, func(a, b client.GroupUsage) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.ID, a.ID)) })
	return ms, nil
}

// marked is the group of the mark of a name that elsactl, and so the shell that runs
// it, is in.
func (c *ctl) marked(ctx context.Context, name string) (group string, err error) {
	ms, err := marks(ctx, c.client(), os.Getpid())
	if err != nil {
		return "", err
	}
	for i := range ms {
		if ms[i].Labels[markLabel] == name {
			return ms[i].Name, nil
		}
	}
	return "", fmt.Errorf("this shell has no mark %s: set one with elsactl mark %[1]s", name)
}

// completeMarks offers the marks of this shell.
func (c *ctl) completeMarks(cmd *cobra.Command, _ []string, _ string) (offer []string, _ cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	ms, _ := marks(ctx, c.client(), os.Getpid())
	for i := range ms {
		if name := ms[i].Labels[markLabel]; !slices.Contains(offer, name) {
			offer = append(offer, name)
		}
	}
	return offer, cobra.ShellCompDirectiveNoFileComp
}
