// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"elsa/test/workload"
)

// The service is stopped while a storm of processes ends, as when it is starved. What
// it reads then has waited for it in the sockets, whose room follows the machine's
// memory: all are counted, and the CPU is right. Where there is no room it says how
// many records it lost.
func TestKernelStopped(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		room bool
	}{
		{"room", nil, true},
		{"none", []string{"--taskstats-buffer", "65536"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			needKernel(t)
			storm := int64(20_000)
			if soak() {
				storm = 200_000
			}
			d := newDaemon(t, t.TempDir(), tt.args...)
			d.start()
			cg := workload.NewCgroup(t)
			l := d.load("stopped", cg, "churn", "cb", "4", "0")
			d.cmd.Process.Signal(unix.SIGSTOP)
			t.Cleanup(func() { d.cmd.Process.Signal(unix.SIGCONT) })
			d.written(storm)
			d.cmd.Process.Signal(unix.SIGCONT)
			want := uint64(l.end().Processes)
			used := cg.CPU(t)
			g := groupOf(t, d.report(), "stopped")
			s := d.status()
			lost, doubled := differ(want, g.Usage.ProcessesEnded)
			if lost+doubled != 0 {
				t.Errorf("%d made, %+v", want, g.Usage)
			}
			billed := g.Usage.CPUSeconds
			share := billed / used.Seconds()
			switch r := s.Records; {
			case tt.room && (s.Events.Lost != 0 || r.TaskstatsLost != 0 || share < 0.97):
				t.Errorf("%d events and %d records lost; %.1f s billed of %.1f s", s.Events.Lost, r.TaskstatsLost, billed, used.Seconds())
			case !tt.room && r.TaskstatsLost == 0:
				t.Error("records were lost without a word")
			}
			row(t, "The service stopped in a storm, "+tt.name+" for what it misses", 1, want, lost, doubled,
				fmt.Sprintf("%.1f %% of the CPU billed; lost: %d events, %d taskstats, %d exact records",
					100*share, s.Events.Lost, s.Records.TaskstatsLost, s.Records.ExactLost))
		})
	}
}
