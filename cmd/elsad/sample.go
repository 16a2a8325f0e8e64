// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"sync"
	"time"

	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/usage"
)

// detailBudget bounds the time one round spends on detailed samples (faults,
// I/O, memory), some 40 µs each. CPU is sampled of every member in every round.
const detailBudget = 25 * time.Millisecond

// live samples live members for readers, outside the core's goroutine, so that
// no reader holds up the pipeline.
type live struct {
	core *core

	mu      sync.Mutex
	sampler *proc.Sampler
	known   map[groups.Key]*sample
	round   uint64
	work    []*sample
}

type sample struct {
	key      groups.Key
	set      groups.SetID
	proc     proc.Sample
	round    uint64 // last seen
	detailed uint64 // round of the last detailed sample
	ok       bool   // sampled in this round
}

func newLive(c *core) *live {
	return &live{core: c, sampler: c.proc.NewSampler(), known: map[groups.Key]*sample{}}
}

// refresh samples every live member, puts the samples on the bills and calls
// show, in the core's goroutine. What show sees is durable: no counter falls
// even over a crash. Only where the disk fails it is shown all the same.
func (l *live) refresh(ctx context.Context, show func()) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.round++
	l.work = l.work[:0]
	if err := l.core.do(ctx, l.list); err != nil {
		return err
	}
	deadline := time.Now().Add(detailBudget)
	for _, s := range l.work {
		// The oldest detail first: those of the last round that had none.
		detail := l.round-s.detailed > 1 || len(l.work) < 200
		detail = detail && time.Now().Before(deadline)
		s.ok = l.sampler.Sample(s.key.PID, s.key.Start, &s.proc, detail) == nil
		if detail {
			s.detailed = l.round
		}
	}
	for k, s := range l.known {
		if s.round != l.round {
			delete(l.known, k)
		}
	}
	return l.core.do(ctx, func() {
		l.core.takeSamples(l.work)
		l.core.commit() // it says itself when it fails
		show()
	})
}

// list notes the members to sample; it runs in the core's goroutine.
func (l *live) list() {
	if l.core.know() != nil {
		return // the next step says why
	}
	l.core.tracker.EachLive(func(life groups.Life) {
		if life.Set == groups.Ungrouped && !life.Noted {
			return
		}
		s := l.known[life.Key()]
		if s == nil {
			s = &sample{key: life.Key()}
			l.known[life.Key()] = s
		}
		s.set, s.round = life.Set, l.round
		l.work = append(l.work, s)
	})
}

// takeSamples puts samples on the bills of the processes that still live.
func (c *core) takeSamples(work []*sample) {
	for _, s := range work {
		if !s.ok {
			continue
		}
		if life, ok := c.tracker.Live(s.key.PID); ok && life.Start == s.key.Start {
			m := measure(&s.proc)
			if c.join.Sample(s.key, life.Set, &m) {
				c.tracker.Touch(s.key)
			}
		}
	}
}

// sampleMembers samples every member at once, in the core's goroutine: the last
// thing before the service ends.
func (c *core) sampleMembers() {
	var work []*sample
	c.tracker.EachLive(func(life groups.Life) {
		if life.Set != groups.Ungrouped || life.Noted {
			work = append(work, &sample{key: life.Key(), set: life.Set})
		}
	})
	for _, s := range work {
		c.sampleNow(s.key, s.set)
	}
}

const (
	// zombieAge is how long a death waits for its exact record before the
	// process is looked for among the zombies, and maxZombies how many are
	// looked for at a step.
	zombieAge  = int64(200 * time.Millisecond)
	maxZombies = 64
)

// settleZombies finds the dead that nobody has waited for, so that their exact
// record does not come: their CPU clock stands still and is exact.
func (c *core) settleZombies() {
	var keys []groups.Key
	c.join.Unsettled(proc.Boottime()-zombieAge, func(k groups.Key, _ groups.SetID) bool {
		keys = append(keys, k)
		return len(keys) < maxZombies
	})
	for _, k := range keys {
		var s proc.Sample
		if c.sampler.Sample(k.PID, k.Start, &s, true) == nil && s.Dead {
			c.join.Settle(k, s.CPU)
		}
	}
}

// sampleNow brings one process's account up to date. It reports false when the
// process is gone.
func (c *core) sampleNow(key groups.Key, set groups.SetID) bool {
	var s proc.Sample
	if c.sampler.Sample(key.PID, key.Start, &s, true) != nil {
		return false
	}
	m := measure(&s)
	c.join.Sample(key, set, &m)
	c.tracker.Touch(key)
	return true
}

func measure(s *proc.Sample) usage.Measure {
	return usage.Measure{
		usage.User: uint64(s.User), usage.System: uint64(s.System), usage.MinorFaults: s.MinorFaults, usage.MajorFaults: s.MajorFaults,
		usage.ReadBytes: s.ReadBytes, usage.WriteBytes: s.WriteBytes, usage.ReadChars: s.ReadChars, usage.WriteChars: s.WriteChars,
		usage.MaxRSS: s.MaxRSS, usage.VoluntarySwitches: s.VoluntarySwitches, usage.InvoluntarySwitches: s.InvoluntarySwitches,
	}
}
