// SPDX-License-Identifier: Apache-2.0

// Command elsactl asks the accounting service elsad: it makes groups, puts
// processes in them, runs commands in them and shows their bills.
//
// Each verb is a file. They share ctl, which has the global flags.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"elsa/internal/escape"
	"elsa/internal/launch"
)

func main() {
	launch.Try(os.Args)
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// Exit statuses. The run verb exits with its command's instead.
const (
	statusDone   = 0
	statusFailed = 1 // refused or failed
	statusUsage  = 2 // the command line makes no sense
)

// usageError is a mistake in the command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }

func badUsage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitError ends elsactl with a status of its own. Without err it is silent.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string { return fmt.Sprint(e.err) }
func (e *exitError) Unwrap() error { return e.err }

// run is elsactl without the process around it. It returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	c := &ctl{stdout: stdout, stderr: stderr}
	root := newRoot(c)
	root.SetArgs(args)
	err := root.Execute()
	var exit *exitError
	var bad usageError
	switch {
	case err == nil:
		return statusDone
	case errors.As(err, &exit):
		if exit.err != nil {
			c.complain(exit.err)
		}
		return exit.status
	case errors.As(err, &bad), !c.started: // what cobra finds, it finds before a verb starts
		c.complain(err)
		return statusUsage
	}
	c.complain(err)
	return statusFailed
}

// complain prints err on one line, whatever is in it.
func (c *ctl) complain(err error) {
	fmt.Fprintf(c.stderr, "elsactl: %s\n", escape.Text(strings.Join(strings.Fields(err.Error()), " ")))
}
