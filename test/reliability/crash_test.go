// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"elsa/internal/fault"
	"elsa/test/workload"
)

// small makes segments of 512 lines, so that they are changed all the time.
const small = "ELSA_FAULT_SIZES=segment=32768"

// random draws the same in every run, but anew in the long forms, which say how
// to draw it again: by ELSA_SEED.
func random(t testing.TB) *rand.Rand {
	seed := uint64(1)
	if n, err := strconv.ParseUint(os.Getenv("ELSA_SEED"), 10, 64); err == nil {
		seed = n
	} else if soak() {
		seed = rand.Uint64()
	}
	t.Logf("ELSA_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// elsad is killed at every fault point and at random instants, with a load that
// never stops. At the end every line the kernel wrote is on a bill, once; the
// trees whose parents can be proved are on their group's, and of those with
// orphans what is not is unattributed.
func TestKernelCrash(t *testing.T) {
	needKernel(t)
	rnd := random(t)
	randomly, rounds := 3, 1
	if soak() {
		randomly, rounds = 250, 4
	}
	if n, err := strconv.Atoi(os.Getenv("ELSA_KILLS")); err == nil {
		randomly = n
	}
	d := newDaemon(t, t.TempDir(), "--commit-interval", "100ms")
	w := newWitness(t, d)
	d.start(small)
	unwritten := d.unwritten()

	cg := workload.NewCgroup(t)
	proved := d.load("proved", cg, "churn", "cbz", "2", "4000")
	mixed := d.load("mixed", nil, "churn", "codzc", "2", "6000")

	kills, falls := 0, 0
	last := map[string]float64{}
	scrape := func() {
		select {
		case <-d.ready:
		default:
			return
		}
		for series, v := range d.scrape() {
			if v < last[series] {
				falls++
				t.Errorf("after %d kills %s fell from %v to %v", kills, series, last[series], v)
			}
			last[series] = v
		}
	}
	// killed checks that elsad died as it should.
	killed := func(where string) {
		t.Helper()
		d.await()
		if ws := d.cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signal() != syscall.SIGKILL {
			t.Fatalf("%s: elsad ended by itself: %v\n%s", where, d.cmd.ProcessState, d.said())
		}
		kills++
	}
	scrape()
	d.kill()
	killed("at first")
	args := d.args
	for range rounds {
		for _, point := range fault.Points {
			pass := 1 + rnd.IntN(3)
			if strings.HasPrefix(point, "re") || strings.HasPrefix(point, "stop.") {
				pass = 1
			}
			if point == fault.ResyncScanned {
				d.args = append(args[:len(args):len(args)], "--event-buffer", "4096")
			}
			if point == fault.ResyncScanned || point == fault.RestoreScanned {
				d.unpin() // what goes on by a ring that was kept does not scan, and loses nothing
			}
			where := fmt.Sprintf("%s, pass %d", point, pass)
			d.launch(small, fmt.Sprintf("ELSA_FAULT=%s=kill@%d", point, pass))
			d.args = args
			switch {
			case strings.HasPrefix(point, "stop."):
				select {
				case <-d.ready:
				case <-d.exited:
				}
				scrape()
				d.cmd.Process.Signal(unix.SIGTERM)
			case point == fault.ResyncScanned:
				stop := overrun(t)
				d.await()
				stop()
			}
			killed(where)
			if point == fault.ResyncScanned {
				d.unpin() // the small ring
			}
		}
	}
	for range randomly {
		d.launch(small)
		until := time.Now().Add(time.Duration(rnd.IntN(900)) * time.Millisecond)
		for time.Now().Before(until) {
			scrape()
			time.Sleep(min(time.Until(until), 20*time.Millisecond)) // sleep: until the random instant
		}
		d.kill()
		killed("at a random instant")
		time.Sleep(time.Duration(rnd.IntN(200)) * time.Millisecond) // sleep: how long elsad is down is random
	}
	d.start(small)
	scrape()

	want, wantMixed := proved.end(), mixed.end()
	r := d.report()
	scrape()
	got, gotMixed := groupOf(t, r, "proved"), groupOf(t, r, "mixed")
	d.stop()
	st := d.stored()
	lines := unwritten + w.count(st.Meta.Position)

	lost, doubled := differ(lines, ended(st))
	if lost+doubled != 0 {
		t.Errorf("the kernel wrote %d lines and %d deaths are on bills: %d lost, %d doubled", lines, ended(st), lost, doubled)
	}
	row(t, "SIGKILL at random and at every step of start, commit and rotation", kills, lines, lost, doubled,
		fmt.Sprintf("every line of %d segments", st.Meta.Position.Segment))

	lost, doubled = differ(uint64(want.Processes), got.Usage.ProcessesEnded)
	if lost+doubled != 0 || got.Usage.ProcessesLive != 0 || got.Usage.ProcessesStarted != got.Usage.ProcessesEnded {
		t.Errorf("proved: %d made, %d started, %d ended, %d live", want.Processes, got.Usage.ProcessesStarted, got.Usage.ProcessesEnded, got.Usage.ProcessesLive)
	}
	row(t, "… trees of children, also those born and dead while elsad was down", kills, uint64(want.Processes), lost, doubled,
		fmt.Sprintf("%d inferred", got.Precision.Inferred))

	made, on := uint64(wantMixed.Processes), gotMixed.Usage.ProcessesEnded
	_, doubled = differ(made, max(made, on))
	lost, _ = differ(made, on+r.Unattributed.ProcessesEnded)
	if lost+doubled != 0 {
		t.Errorf("mixed: %d made, %d on the bill, %d unattributed", made, on, r.Unattributed.ProcessesEnded)
	}
	row(t, "… trees with orphans and daemons", kills, made, lost, doubled,
		fmt.Sprintf("%d in the group, the others unattributed", on))
	row(t, "… counters that fell between scrapes", kills, made+uint64(want.Processes), 0, uint64(falls), fmt.Sprintf("%d series", len(last)))

	if cg != nil {
		// Deaths while elsad was down are known by the tick: cut to 10 ms of
		// user and of system time each.
		cpu, billed := cg.CPU(t), time.Duration(got.Usage.CPUSeconds*1e9)
		coarse := time.Duration(got.Precision.Rounded+got.Precision.Sampled) * 10 * time.Millisecond
		if billed < cpu-2*coarse-cpu/50 || billed > cpu+coarse+cpu/50 {
			t.Errorf("proved: %v of CPU billed, the scheduler counted %v; %+v", billed, cpu, got.Precision)
		}
		t.Logf("CPU: %v billed, %v by the scheduler's count (%.2f %%); %+v", billed, cpu, 100*billed.Seconds()/cpu.Seconds(), got.Precision)
	}
}
