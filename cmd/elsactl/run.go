// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"elsa/internal/inherited"
	"elsa/internal/launch"
	"elsa/pkg/client"
)

func runCommand(c *ctl) *cobra.Command {
	var group string
	var quiet bool
	cmd := &cobra.Command{
		Use:   "run [-g NAME] [--quiet] -- COMMAND [ARG...]",
		Short: "Run a command in a group and print its bill",
		Long: `Run a command in a group, wait until it ends, print its bill on standard error,
and exit with its status: 127 if it was not found, 126 if it could not be executed.
If a signal ended it, the same signal ends elsactl: a shell shows 128+N.

The command is in the group from its first instruction on, and so is all that
it starts. It finds what it would have found without elsactl: open files, the
environment, ignored and blocked signals, limits, the terminal. With --quiet it
takes the place of elsactl, under the same process id; otherwise elsactl stays
its parent, hands signals on, and stops when the command does.
The group is made if it is missing, and
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
	// made is true if the group was made for this command.
	made  bool
	quiet bool
	argv  []string
}

// callTimeout bounds each call to the service, so that a command's end never
// hangs on it.
const callTimeout = 15 * time.Second

// command is what is to be launched.
func (j *job) command() launch.Command {
	return launch.Command{Socket: j.socket, Group: j.group, Argv: j.argv, Ignore: inherited.Ignored(), Block: inherited.Blocked()}
}

func (j *job) run() error {
	if j.quiet {
		f := launch.Early
		if f == nil { // in a form that only the parser of all flags knows
			failure := j.command().Become()
			f = &failure
		}
		return j.failed(f)
	}
	if _, errno := launch.LookPath(j.argv[0]); errno != 0 {
		return cannotRun(j.argv[0], errno)
	}
	before, err := j.before()
	if err != nil {
		return err
	}
	c, joined, err := start(j.command())
	if err != nil {
		return err
	}
	if c.failed != nil {
		c.wait()
		c.letGo()
		return j.failed(c.failed)
	}
	j.group = joined.Group
	begin := time.Now()
	ws := c.wait()
	wall := time.Since(begin)
	c.letGo()
	status := ws.ExitStatus()
	if ws.Signaled() {
		status = 128 + int(ws.Signal())
	}
	if j.group != "" {
		j.settle(before, status, wall)
	}
	if ws.Signaled() {
		dieBy(ws.Signal())
	}
	return &exitError{status: status}
}

// before returns the bill of the group until now.
func (j *job) before() (before client.GroupUsage, err error) {
	if j.group == "" {
		return before, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	r, err := j.client.Usage(ctx, client.UsageQuery{Groups: []string{j.group}})
	switch {
	case err == nil && len(r.Groups) == 1:
		return r.Groups[0], nil
	case status(err) == http.StatusNotFound:
		return before, nil
	}
	return before, err
}

// failed explains why the command does not run.
func (j *job) failed(f *launch.Failure) error {
	switch f.Stage {
	case launch.Connect:
		return &client.UnreachableError{Socket: j.socket, Err: os.NewSyscallError("connect", f.Errno)}
	case launch.Ask:
		return fmt.Errorf("ask elsad at %s: %w", j.socket, f.Errno)
	case launch.Refused:
		e := &client.Error{}
		if json.Unmarshal([]byte(f.Body), e) != nil || e.Title == "" {
			e = &client.Error{Title: http.StatusText(f.Status), Detail: fmt.Sprintf("unexpected answer of status %d", f.Status)}
		}
		e.Status = f.Status
		return e
	}
	j.group, j.made = f.Group, f.Created
	j.undo()
	return cannotRun(j.argv[0], f.Errno)
}

// undo removes the group of a command that never ran, if it was made for it.
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

// The statuses a shell has for a command that it cannot run.
const (
	statusNotExecutable = 126
	statusNotFound      = 127
)

// cannotRun is the error for a command that does not start, with the status
// and the words that a shell has for it.
func cannotRun(name string, errno syscall.Errno) error {
	if errno == syscall.ENOENT {
		what := "command not found"
		if strings.Contains(name, "/") {
			what = "no such file or directory"
		}
		return &exitError{statusNotFound, fmt.Errorf("%s: %s", name, what)}
	}
	return &exitError{statusNotExecutable, fmt.Errorf("%s: %w", name, errno)}
}

// settle prints the bill. The command has run: what fails now is told, and its
// status stands.
func (j *job) settle(before client.GroupUsage, status int, wall time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	stop := j.waiting("waiting for the last records")
	r, err := j.client.Usage(ctx, client.UsageQuery{Groups: []string{j.group}, Wait: true})
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

// status is the HTTP status of the service's refusal, 0 for any other error.
func status(err error) int {
	var e *client.Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}
