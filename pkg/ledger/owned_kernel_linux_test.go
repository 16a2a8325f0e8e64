// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"elsa/internal/kerneltest"
	"elsa/pkg/acct"
)

func needAccounting(t *testing.T) {
	t.Helper()
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.BSDAcct)
	kerneltest.LockAccounting(t)
}

// TestKernelOwned lets a storm of processes end while accounting is rotated,
// read, released and taken over all the time: each is there once.
func TestKernelOwned(t *testing.T) {
	needAccounting(t)
	const storms, each = 3, 400
	opt := OwnOptions{SegmentSize: 64 * acct.BSDSize}
	dir := filepath.Join(t.TempDir(), "pacct")
	o, err := Own(dir, Position{}, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { o.Close() }()

	seen := make(map[int]int)
	var pos Position
	var sk Skipped
	step := func() error {
		end, err := o.End()
		if err != nil {
			return err
		}
		var s Skipped
		pos, s, err = o.Read(pos, end, func(recs []acct.Record) error {
			for _, r := range recs {
				seen[int(r.PID)]++
			}
			return nil
		})
		if err != nil || pos != end {
			return fmt.Errorf("read to %+v, %v; want %+v", pos, err, end)
		}
		sk.Add(s)
		if err := o.Release(pos); err != nil {
			return err
		}
		return o.Rotate()
	}
	takeovers, stop, stopped := 0, make(chan bool), make(chan error)
	go func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				stopped <- step()
				return
			default:
			}
			err := step()
			if err == nil && n%50 == 0 { // as if killed, and started again
				var next *Owned
				o.Detach()
				if next, err = Own(dir, pos, opt); err == nil {
					o = next
				}
				takeovers++
			}
			if err != nil {
				<-stop
				stopped <- err
				return
			}
		}
	}()
	var children []*kerneltest.Child
	for range storms {
		children = append(children, kerneltest.Spawn(t, "storm", strconv.Itoa(each)))
	}
	var all []int
	for _, c := range children {
		all = append(all, c.Pids()...)
	}
	stop <- true
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	doubled, missing := 0, 0
	for _, pid := range all {
		switch seen[pid] {
		case 1:
		case 0:
			missing++
		default:
			doubled++
		}
	}
	if missing > 0 || doubled > 0 || len(all) != storms*each {
		t.Errorf("of %d processes %d are missing and %d doubled", len(all), missing, doubled)
	}
	switches := pos.Segment - 1
	if sk != (Skipped{Callers: switches}) || switches < 20 || takeovers == 0 {
		t.Errorf("skipped %+v in %d switches, %d of them in a new owner's name", sk, switches, takeovers)
	}
	if seen[os.Getpid()] != 0 {
		t.Error("this process is among the dead")
	}
	t.Logf("%d processes, %d switches, %d take-overs", len(all), switches, takeovers)
}

func TestKernelOwnConflict(t *testing.T) {
	needAccounting(t)
	foreign := filepath.Join(t.TempDir(), "pacct")
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := SwitchOn(foreign); err != nil {
		t.Fatal(err)
	}
	writesForeign := func() bool {
		before := fileSizes([]string{foreign})
		if _, err := kerneltest.Fork(); err != nil {
			t.Fatal(err)
		}
		return fileSizes([]string{foreign})[0] > before[0]
	}
	dir := filepath.Join(t.TempDir(), "own")
	saved := usualFiles
	defer func() { usualFiles = saved }()
	for _, tt := range []struct {
		usual []string
		want  string
	}{
		{[]string{foreign}, foreign},
		{saved, ""}, // a file nobody thought of
	} {
		usualFiles = tt.usual
		_, err := Own(dir, Position{}, OwnOptions{})
		var conflict *ConflictError
		if !errors.As(err, &conflict) || conflict.Path != tt.want {
			t.Errorf("own what goes to %q: %v", tt.want, err)
		}
		if !writesForeign() {
			t.Fatal("a refused take-over switched accounting")
		}
	}

	if err := SwitchOff(); err != nil {
		t.Fatal(err)
	}
	o, err := Own(dir, Position{}, OwnOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := o.writes(); !ok || err != nil {
		t.Errorf("writes: %v, %v", ok, err)
	}
	if err := SwitchOn(foreign); err != nil {
		t.Fatal(err)
	}
	if ok, err := o.writes(); ok || err != nil {
		t.Errorf("writes with accounting elsewhere: %v, %v", ok, err)
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if !writesForeign() {
		t.Error("Close switched another program's accounting off")
	}
}

// TestKernelWatchDeath: whether accounting is on shows without knowing the file.
func TestKernelWatchDeath(t *testing.T) {
	needAccounting(t)
	path := filepath.Join(t.TempDir(), "pacct")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if v, err := (linux{}).watchDeath(nil); err != nil || !v.off || v.on {
			t.Fatalf("off: %+v, %v", v, err)
		}
		if err := SwitchOn(path); err != nil {
			t.Fatal(err)
		}
		if v, err := (linux{}).watchDeath(nil); err != nil || v.off || !v.on {
			t.Fatalf("on: %+v, %v", v, err)
		}
		if err := SwitchOff(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKernelSwitchRefused(t *testing.T) {
	needAccounting(t)
	for _, path := range []string{t.TempDir(), "/dev/null", "/proc/self/comm", filepath.Join(t.TempDir(), "none")} {
		if err := SwitchOn(path); err == nil {
			t.Errorf("accounting to %s is accepted", path)
		} else {
			t.Log(err)
		}
	}
	space, err := SpaceState(t.TempDir())
	if err != nil || space.Available == 0 || space.Suspend >= space.Resume {
		t.Errorf("%+v, %v", space, err)
	}
}

// TestKernelSuspended makes the kernel suspend accounting as if the disk were
// full, and go on.
func TestKernelSuspended(t *testing.T) {
	needAccounting(t)
	set := func(s string) {
		t.Helper()
		kerneltest.Sysctl(t, "kernel/acct", s)
	}
	dir := filepath.Join(t.TempDir(), "pacct")
	low := func() bool {
		t.Helper()
		space, err := SpaceState(filepath.Dir(dir))
		if err != nil {
			t.Fatal(err)
		}
		return space.Low()
	}
	writes := func(o *Owned) bool {
		t.Helper()
		ok, err := o.writes()
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}

	set("101 100 0") // suspend when not more than all of the disk is free
	o, err := Own(dir, Position{}, OwnOptions{})
	if err != nil {
		t.Fatalf("own with a full disk: %v", err)
	}
	defer func() { o.Close() }()
	if !low() || writes(o) {
		t.Errorf("full disk: low %v, writes %v", low(), writes(o))
	}
	if err := o.Reclaim(); err == nil {
		t.Error("accounting is reclaimed with a full disk")
	}
	set("0 0 0")
	if low() || !writes(o) {
		t.Errorf("space again: low %v, writes %v", low(), writes(o))
	}
	set("101 100 0")
	writes(o) // the death at which the kernel looks
	if writes(o) {
		t.Error("a full disk does not suspend accounting that is on")
	}
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	// Left on, it would go on with space again.
	set("0 0 0")
	if v, err := (linux{}).watchDeath([]string{o.Path()}); err != nil || !v.off || len(v.grown) > 0 {
		t.Errorf("after Close: %+v, %v", v, err)
	}
}
