// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/usage"
)

// EachSampled calls f for every live process whose bill needs samples: those in a
// group, and those that were billed before. With it comes the sample that the engine
// itself took of the process since the last call, or nil. f must not change the engine.
func (e *Engine) EachSampled(now Now, f func(groups.Key, *proc.Sample)) error {
	if err := e.RescanIfLost(now); err != nil {
		return err
	}
	e.tracker.EachLive(func(l groups.Life) {
		if l.Set != groups.Ungrouped || l.HasAccount {
			f(l.Key(), e.samples.taken[l.Key()])
		}
	})
	e.samples.taken = nil
	return nil
}

// executes takes a sample of a process that came to its groups in the middle of its
// life, and executes a program now. A shell that did so has often waited for children,
// whose I/O the kernel does not tell from its own: what comes after this is the
// program's.
func (e *Engine) executes(pid int32) {
	if l, ok := e.tracker.Live(pid); ok && l.HasAccount && e.samples.execs < maxExecSamples {
		e.samples.execs++
		e.sample(l.Key(), l.Set)
	}
}

// TakeSample puts a sample on the bill of a process, if it still lives.
func (e *Engine) TakeSample(k groups.Key, s *proc.Sample) {
	if life, ok := e.tracker.Live(k.PID); ok && life.Start == k.Start {
		m := e.measure(s)
		if e.join.Sample(k, e.cellOf(k, life.Set, s), &m) {
			e.tracker.KeepAccount(k)
		}
	}
}

// SampleMembers samples every member at once: the last thing before the service
// ends, since their records may come while nobody reads.
func (e *Engine) SampleMembers(now Now) error {
	var keys []groups.Key
	if err := e.EachSampled(now, func(k groups.Key, _ *proc.Sample) { keys = append(keys, k) }); err != nil {
		return err
	}
	for _, k := range keys {
		if life, ok := e.tracker.Live(k.PID); ok {
			e.sample(k, life.Set)
		}
	}
	return nil
}

const (
	// unreapedAge is how long a death waits for its exact record before the
	// process is looked for among those that nobody waited for. A step looks for
	// maxLooks at most, in some 3 µs each, and takes the clocks of maxUnreaped at
	// most, in some 35 µs each. The others wait for the next.
	unreapedAge = 200 * time.Millisecond
	maxLooks    = 1 << 13
	maxUnreaped = 512
)

// settleUnreaped finds the dead that nobody has waited for, so that their exact
// record does not come: their CPU clock stands still and is exact.
func (e *Engine) settleUnreaped() {
	looks, unreaped := 0, 0
	e.join.Look(e.now.Boot.Add(-unreapedAge), e.now.Boot, func(k groups.Key) (time.Duration, usage.Found) {
		var s proc.Sample
		switch looks++; {
		case looks > maxLooks || unreaped == maxUnreaped:
			return 0, usage.Enough
		case e.options.World.Sample(k, &s) != nil:
			return 0, usage.Gone
		}
		if unreaped++; !s.Dead {
			return 0, usage.Ending
		}
		return s.CPU, usage.Standing
	})
}
