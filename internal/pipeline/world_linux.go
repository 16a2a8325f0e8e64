// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"os"

	"elsa/internal/engine"
	"elsa/internal/rules"
	"elsa/internal/tally"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// world is the running machine. It is looked at in other goroutines, for which the
// pipeline's waits some milliseconds at most.
type world struct {
	*proc.Bounded
	rules.Names
	cgroups *proc.Cgroups
	unified bool // there are no control groups beside the unified hierarchy
	cut     *tally.Shared
}

// NewWorld returns the machine that a proc tree shows, for one goroutine. names knows users
// and unix groups. cut counts
// what was not read of a process because it was too much; nil counts nothing.
func NewWorld(b *proc.Bounded, names rules.Names, cut *tally.Shared) engine.World {
	text, err := os.ReadFile(string(b.FS()) + "/self/cgroup")
	return &world{
		Bounded: b.Impatient(), Names: names, cgroups: proc.OpenCgroups(),
		unified: err == nil && bytes.HasPrefix(text, []byte("0::")), cut: cut,
	}
}

func (w *world) Processes(buf []proc.Process) ([]proc.Process, error) { return w.Snapshot(buf) }

func (w *world) Sample(k groups.Key, s *proc.Sample) error {
	return w.Bounded.Sample(k.PID, k.Start, s, true)
}

// Traits has the control group by its id, where that says all: a process at the root
// of the unified hierarchy may be in another of version 1.
func (w *world) Traits(p proc.Process, cgroup uint64) rules.Traits {
	t := rules.LookBounded(w.Bounded, p, w.Names, w.cut)
	if cgroup == 0 {
		return t
	}
	switch path, ok := w.cgroups.Path(cgroup); {
	case ok && path != "/":
		t.In(path)
	case ok && w.unified:
		t.In("")
	}
	return t
}
