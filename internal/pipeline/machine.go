// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"time"

	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// auditInterval is the time between two readings.
const auditInterval = 10 * time.Second

// auditing takes readings until ctx is done.
func (p *Pipeline) auditing(ctx context.Context) {
	tick := time.NewTicker(auditInterval)
	defer tick.Stop()
	for {
		if err := p.readMachine(ctx); err != nil && ctx.Err() == nil {
			p.Log.Debug("cannot compare with the CPU time of the machine", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// readMachine takes a reading. The clocks of those who live are read outside the
// pipeline's goroutine. Who ends meanwhile may be counted twice or not at all: if that
// was long-lived, the reading is none.
func (p *Pipeline) readMachine(ctx context.Context) error {
	var pids []int32
	var before time.Duration
	begin := time.Now()
	if err := p.Do(ctx, func(t Turn) error {
		if err := t.Step(); err != nil {
			return err
		}
		before = t.Engine().EndedCPU()
		return t.Engine().EachLive(t.Now(), func(l groups.Life) { pids = append(pids, l.PID) })
	}); err != nil {
		return err
	}
	r := balance{cpus: proc.CPUs()}
	for _, pid := range pids {
		r.known += proc.RunTime(pid)
	}
	var err error
	if r.machine, err = p.Proc.FS().MachineTime(); err != nil {
		return err
	}
	r.at = proc.Now()
	return p.Do(ctx, func(t Turn) error {
		if err := t.Step(); err != nil {
			return err
		}
		ended := t.Engine().EndedCPU()
		if ended-before <= time.Duration(r.cpus)*(auditSlack+time.Since(begin)) {
			r.known += ended
			p.audit.add(r)
		}
		return nil
	})
}
