// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"elsa/internal/kerneltest"
)

// stuck starts processes that wait for ever in the middle of an exec, and returns
// when all of them do.
func stuck(t *testing.T, file *kerneltest.Stuck, n int) (pids []int32) {
	t.Helper()
	for range n {
		pids = append(pids, int32(file.Spawn(t, "/bin/sleep", "60").PID))
	}
	kerneltest.Eventually(t, "processes wait in their exec", func() bool { return file.Held() >= n })
	return pids
}

// Processes that hang in an exec hold up nobody: a look at one ends in time, those at
// others are answered, and how many are under way is bounded. What it was when it
// could be looked at is told then.
func TestKernelBoundedStuckExec(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.FUSE)
	file := kerneltest.NewStuck(t)
	const n = 24
	pids := stuck(t, file, n)
	p, err := Default.Process(int32(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	outside := NewBounded(Default)
	b := outside.Impatient()
	began := time.Now()
	hang := 0
	for _, pid := range pids {
		if _, err := b.Process(pid); errors.Is(err, ErrBusy) {
			hang++
			if !Coming(err) {
				t.Errorf("the look at process %d of root was refused", pid)
			}
		}
	}
	kerneltest.Need(t, kerneltest.WaitsForExec(hang > 0))
	if hang != n {
		t.Errorf("%d of %d processes are busy", hang, n)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("looks at %d processes took %v", n, took)
	}
	if got, err := outside.Process(p.PID); err != nil || !got.Start.Same(p.Start) {
		t.Errorf("the process itself: %+v, %v", got, err)
	}
	var all []Process
	// A busy machine may be late with any process.
	kerneltest.Eventually(t, "a snapshot has this process", func() bool {
		if all, err = b.Snapshot(nil); err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(all, func(q Process) bool { return q.PID == p.PID })
	})
	if slices.ContainsFunc(all, func(q Process) bool { return slices.Contains(pids, q.PID) }) {
		t.Error("the snapshot has a process that cannot be looked at")
	}
	var s Sample
	if err := b.Sample(pids[0], 0, &s, true); err != nil || s.CPU == 0 {
		t.Errorf("sample of a busy process: %+v, %v; want its CPU time", s, err)
	}

	file.Release()
	told := map[int32]bool{}
	for len(told) < n {
		select {
		case <-b.Answered():
		case <-time.After(kerneltest.Patience):
			t.Fatalf("%d of %d looks came back", len(told), n)
		}
		for _, pid := range b.TakeAnswered() {
			if slices.Contains(pids, pid) { // not one that was slow by chance
				told[pid] = true
			}
		}
	}
	if p, err := outside.Process(pids[0]); err != nil || p.Command() != "sleep" {
		t.Errorf("afterwards: %+v, %v", p, err)
	}
	kerneltest.Eventually(t, "no look is under way", func() bool {
		b.lookers.mu.Lock()
		defer b.lookers.mu.Unlock()
		return len(b.lookers.stuck) == 0 && len(b.lookers.users) == 0 && len(b.lookers.idle) <= maxIdle
	})
}
