// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"elsa/internal/kerneltest"
)

// TestKernelFollow reads a file that the kernel writes to and that is rotated
// by renaming meanwhile, as logrotate and accton do it.
func TestKernelFollow(t *testing.T) {
	needAccounting(t)
	const storms, each, rotations = 2, 500, 10
	k := &rotator{path: filepath.Join(t.TempDir(), "pacct")}
	k.fakeKernel = newFakeKernel(t) // for its rename; accounting is real
	k.create()
	f := mustFollow(t, k.path, Position{})
	writes := func() bool {
		v, err := linux{}.watchDeath([]string{k.path})
		if err != nil {
			t.Fatal(err)
		}
		return len(v.grown) > 0
	}
	if writes() {
		t.Error("the file grows with accounting off")
	}
	accton := func() {
		if err := SwitchOn(k.path); err != nil {
			t.Fatal(err)
		}
	}
	accton()
	if !writes() {
		t.Error("the file does not grow with accounting on")
	}

	var children []*kerneltest.Child
	for range storms {
		children = append(children, kerneltest.Spawn(t, "storm", strconv.Itoa(each)))
	}
	pids := make(chan []int)
	go func() {
		defer close(pids) // also if a child fails the test
		var all []int
		for _, c := range children {
			all = append(all, c.Pids()...)
		}
		pids <- all
	}()
	var r reader
	var all []int
	switches, read := 0, 0
	for done := false; !done; {
		select {
		case all = <-pids:
			done = true
		default:
		}
		r.catchUp(t, f)
		if switches < rotations && len(r.pids) > read {
			read = len(r.pids)
			k.rename()
			r.catchUp(t, f)
			k.create()
			r.catchUp(t, f)
			accton()
			switches++
		}
		if err := f.Release(r.pos); err != nil {
			t.Fatal(err)
		}
	}
	if err := SwitchOff(); err != nil {
		t.Fatal(err)
	}
	r.catchUp(t, f)
	seen := make(map[int]int)
	for _, pid := range r.pids {
		seen[pid]++
	}
	for _, pid := range all {
		if seen[pid] != 1 {
			t.Errorf("process %d is there %d times", pid, seen[pid])
		}
	}
	if len(all) != storms*each || seen[os.Getpid()] != 0 {
		t.Errorf("%d processes, want %d; this one %d times", len(all), storms*each, seen[os.Getpid()])
	}
	if want := (Skipped{Callers: uint64(switches) + 1}); r.skip != want {
		t.Errorf("skipped %+v, want %+v", r.skip, want)
	}
	if n := len(k.siblings()); n != switches {
		t.Errorf("%d rotated files, want %d", n, switches)
	}
}

func (r *rotator) siblings() map[string]uint64 { return (&Follower{path: r.path}).siblings() }
