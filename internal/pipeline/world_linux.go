// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"elsa/internal/engine"
	"elsa/internal/rules"
	"elsa/internal/tally"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// world is the running machine.
type world struct {
	proc.FS
	rules.Names
	sampler *proc.Sampler
	cut     *tally.Shared
}

// NewWorld returns the machine that a proc tree shows, for one goroutine. cut counts
// what was not read of a process because it was too much; nil counts nothing.
func NewWorld(fs proc.FS, cut *tally.Shared) engine.World {
	return &world{FS: fs, Names: rules.Names{}, sampler: fs.NewSampler(), cut: cut}
}

func (w *world) Processes(buf []proc.Process) ([]proc.Process, error) { return w.Snapshot(buf) }

func (w *world) Sample(k groups.Key, s *proc.Sample) error {
	return w.sampler.Sample(k.PID, k.Start, s, true)
}

func (w *world) Traits(p proc.Process) rules.Traits { return rules.Look(w.FS, p, w.Names, w.cut) }
