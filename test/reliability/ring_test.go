// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"elsa/internal/kerneltest"
	"elsa/pkg/tracepoint"
)

// unpin puts back what an elsad that was killed left.
func (d *daemon) unpin() {
	d.t.Helper()
	if err := tracepoint.Pins(d.state() + "/bpf").Remove(); err != nil {
		d.t.Error(err)
	}
}

// elsad is killed again and again under a load that makes orphans and daemons. Its
// programs go on, and the next start reads on where the last transaction stood: no
// process is placed by inference, and none is unattributed.
func TestKernelCrashGoesOn(t *testing.T) {
	needKernel(t)
	kerneltest.Need(t, kerneltest.BTF, kerneltest.BPF)
	kills := 2
	if soak() {
		kills = 40
	}
	rnd := random(t)
	d := newDaemon(t, t.TempDir(), "--source", "bpf")
	d.start()
	before := d.report()
	l := d.load("mixed", nil, "churn", "codzc", "4", "200")
	began, down := time.Now(), time.Duration(0)
	wentOn := 0
	for range kills {
		d.more("mixed", 200)
		time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond) // sleep: anywhere in an interval of commits
		at := time.Now()
		d.kill()
		time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond) // sleep: down for as long as a restart may take
		d.start()
		down += time.Since(at)
		wentOn += strings.Count(d.said(), "went on with the stored events")
		s := d.status()
		if s.Events.Lost+s.Events.Resyncs+s.Records.ExactLost != 0 {
			t.Errorf("%d events lost, %d rescans, %d records lost", s.Events.Lost, s.Events.Resyncs, s.Records.ExactLost)
		}
	}
	made := uint64(l.end().Processes)
	rate := float64(made) / time.Since(began).Seconds()
	d.report()
	r := d.report()
	got := groupOf(t, r, "mixed")
	if wentOn != kills {
		t.Errorf("%d of %d starts went on with the events", wentOn, kills)
	}
	unattributed := r.Unattributed.ProcessesEnded - before.Unattributed.ProcessesEnded
	lost, doubled := differ(made, got.Usage.ProcessesEnded)
	if lost+doubled != 0 || got.Usage.ProcessesStarted != made || got.Precision.Inferred != 0 || unattributed != 0 {
		t.Errorf("%d made, %+v, %+v; %d unattributed", made, got.Usage, got.Precision, unattributed)
	}
	row(t, "kill -9 and start again, events by BPF read on, orphans and daemons", kills, made, lost, doubled,
		fmt.Sprintf("%d inferred, %d unattributed; %.0f processes a second, down for %.1f s; %d exact",
			got.Precision.Inferred, unattributed, rate, down.Seconds(), got.Precision.Exact))
	d.stop()
}
