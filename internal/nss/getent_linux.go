// SPDX-License-Identifier: Apache-2.0

package nss

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// maxAnswer bounds what a child may say: a unix group may have very many members.
	maxAnswer = 1 << 20
	// stuck is how long a child may take to end when it was killed; maxStuck of those
	// that do not are the end of asking.
	stuck    = 2 * time.Second
	maxStuck = 4
)

// hanging counts the children that did not end when they were killed.
var hanging atomic.Int32

// Asks reports whether there is a getent to ask, and why not.
func Asks() error {
	if _, err := exec.LookPath("getent"); err != nil {
		return fmt.Errorf("find getent: %w", err)
	}
	return nil
}

// getent asks getent(1) for keys of a database. It returns when ctx is done, even if
// the child does not end.
func getent(ctx context.Context, database string, keys []string) ([]entry, error) {
	if hanging.Load() >= maxStuck {
		return nil, errors.New("ask getent: it hangs")
	}
	c := exec.CommandContext(ctx, "getent", append([]string{database}, keys...)...)
	var out capped
	c.Stdout, c.WaitDelay = &out, time.Second
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	ended := make(chan error, 1)
	hanging.Add(1)
	go func() {
		defer hanging.Add(-1)
		ended <- c.Run()
	}()
	late := make(<-chan time.Time)
	for done := ctx.Done(); ; {
		select {
		case err := <-ended:
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() == 2 { // not all were found
				err = nil
			}
			if err != nil {
				return nil, fmt.Errorf("ask getent %s: %w", database, err)
			}
			return parse(out.text), nil
		case <-done:
			done, late = nil, time.After(stuck)
		case <-late:
			return nil, fmt.Errorf("ask getent %s: %w", database, ctx.Err())
		}
	}
}

// capped keeps the beginning of what is written, and takes the rest.
type capped struct{ text []byte }

func (c *capped) Write(b []byte) (int, error) {
	c.text = append(c.text, b[:min(len(b), maxAnswer-len(c.text))]...)
	return len(b), nil
}
