// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"elsa/pkg/client"
)

func runCommand(c *ctl) *cobra.Command {
	var group string
	var quiet bool
	cmd := &cobra.Command{
		Use:   "run [-g NAME] [--quiet] -- COMMAND [ARG...]",
		Short: "Run a command in a group and print its bill",
		Long: `Run a command in a group, wait until it ends, print its bill on standard error,
and exit with its status: 128+N if signal N ended it, 127 if it was not found
and 126 if it could not be executed, as a shell does.

The command is in the group from its first instruction on, and so is all that
it starts; elsactl itself is not. The group is made if it is missing, and
without -g it is a fresh one that is closed when the command ends, and deleted
90 days after its last process did (elsad --run-retention). What the command
left running in the background stays in the group.

The bill is what the group used from the start of the command to its end. If
others run in the same group meanwhile, it includes theirs. With -o json the
bill is one line of JSON, the last on standard error.`,
		Example: `  elsactl run -- make -j4
  elsactl run -g nightly --quiet -- /usr/local/bin/backup --all
  elsactl run -o json -- ./benchmark 2>bill.json`,
		Args: between(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			j := &job{ctl: c, client: c.client(), group: group, quiet: quiet, argv: args}
			return j.run()
		},
	}
	// What follows the command's name is the command's.
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().StringVarP(&group, "group", "g", "", "run in the group `NAME`, made if it is missing")
	cmd.Flags().BoolVar(&quiet, "quiet", false, "print no bill")
	cmd.RegisterFlagCompletionFunc("group", c.completeGroups)
	return cmd
}

// job is one command to run.
type job struct {
	*ctl
	client *client.Client
	group  string
	// fresh is true if the group was made for this command alone, made if it
	// was made by it.
	fresh, made bool
	quiet       bool
	argv        []string
}

// callTimeout bounds each call to the service, so that a command's end never
// hangs on it.
const callTimeout = 15 * time.Second

func (j *job) run() error {
	path, err := lookPath(j.argv[0])
	if err != nil {
		return cannotRun(j.argv[0], err)
	}
	before, err := j.open()
	if err != nil {
		return err
	}
	forward, stop := stand()
	defer stop()
	c, err := hold(path, j.argv)
	if err != nil {
		j.undo()
		return err
	}
	if err := j.add(c.Process.Pid); err != nil {
		c.abandon()
		j.undo()
		return err
	}
	forward(c.Process)
	begin := time.Now()
	if err := c.release(); err != nil {
		c.abandon()
		j.undo()
		return cannotRun(j.argv[0], err)
	}
	status := c.end()
	wall := time.Since(begin)

	j.settle(before, status, wall)
	return &exitError{status: status}
}

// open makes sure that there is a group, and returns its bill until now.
func (j *job) open() (before client.GroupUsage, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if j.group == "" {
		return before, j.openFresh(ctx)
	}
	for {
		r, err := j.client.Usage(ctx, []string{j.group}, false)
		if err == nil && len(r.Groups) == 1 {
			return r.Groups[0], nil
		}
		if status(err) != http.StatusNotFound {
			return before, err
		}
		_, err = j.client.CreateGroup(ctx, client.CreateGroupRequest{Name: j.group})
		if status(err) == http.StatusConflict {
			continue // another made it just now
		}
		j.made = err == nil
		return before, err
	}
}

// openFresh makes a group that nobody else uses.
func (j *job) openFresh(ctx context.Context) error {
	base := fmt.Sprintf("run-%s-%d", time.Now().UTC().Format("20060102T150405"), os.Getpid())
	j.group = base
	for try := 2; ; try++ {
		_, err := j.client.CreateGroup(ctx, client.CreateGroupRequest{
			Name: j.group, Temporary: true, Labels: map[string]string{"command": visible(filepath.Base(j.argv[0]))},
		})
		if status(err) != http.StatusConflict || try > 99 {
			j.fresh, j.made = err == nil, err == nil
			return err
		}
		// The same pid in another pid namespace, in the same second.
		j.group = fmt.Sprintf("%s-%d", base, try)
	}
}

func (j *job) add(pid int) error {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	_, err := j.client.AddMembers(ctx, j.group, client.AddRequest{PIDs: []int{pid}})
	return err
}

// undo removes the group of a command that never ran, if it made one.
func (j *job) undo() {
	if !j.made {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if err := j.client.DeleteGroup(ctx, j.group); err != nil {
		j.complain(fmt.Errorf("delete group %s, which nothing ran in: %w", j.group, err))
	}
}

// settle prints the bill and closes a group that is done with. The command has
// run: what fails now is told, and its status stands.
func (j *job) settle(before client.GroupUsage, status int, wall time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if !j.quiet {
		stop := j.waiting("waiting for the last records")
		r, err := j.client.Usage(ctx, []string{j.group}, true)
		stop()
		switch {
		case err != nil:
			j.complain(fmt.Errorf("no bill for group %s: %w", j.group, err))
		case len(r.Groups) == 1:
			b := bill{Group: j.group, ExitStatus: status, WallSeconds: wall.Seconds()}
			b.charge(before, r.Groups[0])
			b.write(j.stderr, j.format)
		}
	}
	if j.fresh {
		if _, err := j.client.CloseGroup(ctx, j.group); err != nil {
			j.complain(fmt.Errorf("close group %s: %w", j.group, err))
		}
	}
}

// status is the HTTP status of the service's refusal, 0 for any other error.
func status(err error) int {
	var e *client.Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}
