// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/test/workload"
)

// The service is stopped while a storm of processes ends, as when it is starved. What
// it reads then has waited for it in the ring, or in the sockets, whose room follows the
// machine's memory: all are counted, and the CPU is right. Where there is no room it says how
// many records it lost.
func TestKernelStopped(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		room bool
		cpu  float64 // share that must be billed: without exact records it is sampled
	}{
		{"room", nil, true, 0.97},
		{"room in sockets", []string{"--source", "proc", "--taskstats", "on", "--exact", "off"}, true, 0},
		{"no room", []string{"--source", "proc", "--taskstats", "on", "--exact", "off", "--taskstats-buffer", "65536"}, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			needKernel(t)
			storm := 5000
			if soak() {
				storm = 200_000
			}
			d := newDaemon(t, t.TempDir(), tt.args...)
			d.start()
			cg := workload.NewCgroup(t)
			run := cg.Command("sh", "-c", `read line; exec "$0" storm "$1" 4`, workload.Build(t), fmt.Sprint(storm))
			cmd := d.command(append([]string{"run", "-g", "stopped", "--quiet", "--"}, run...)...)
			begin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			cmd.Stdout = &said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			kerneltest.Eventually(t, "the load is in its group", func() bool { return d.started("stopped") > 0 })
			d.cmd.Process.Signal(unix.SIGSTOP)
			t.Cleanup(func() { d.cmd.Process.Signal(unix.SIGCONT) })
			begin.Close()
			if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			d.cmd.Process.Signal(unix.SIGCONT)
			truth, err := workload.Parse(bytes.TrimSpace(said.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			want, used := uint64(truth.Processes), cg.CPU(t)
			g := groupOf(t, d.report(), "stopped")
			s := d.status()
			lost, doubled := differ(want, g.Usage.ProcessesEnded)
			if lost+doubled != 0 {
				t.Errorf("%d made, %+v", want, g.Usage)
			}
			billed := g.Usage.CPUSeconds
			share := billed / used.Seconds()
			switch r := s.Records; {
			case tt.room && (s.Events.Lost+r.TaskstatsLost+r.ExactLost != 0 || share < tt.cpu):
				t.Errorf("%d events and %d records lost; %.2f s billed of %.2f s", s.Events.Lost, r.TaskstatsLost+r.ExactLost, billed, used.Seconds())
			case !tt.room && r.TaskstatsLost == 0:
				t.Error("records were lost without a word")
			}
			unaccounted := 0.0
			if !tt.room { // what they would have told is known in sum
				kerneltest.Eventually(t, "the machine's clock tells what is on no bill", func() bool {
					unaccounted = d.status().Conservation.UnaccountedCPUSeconds
					return unaccounted > 0
				})
			}
			row(t, "The service stopped in a storm, "+tt.name+" for what it misses", 1, want, lost, doubled,
				fmt.Sprintf("%.1f %% of the CPU billed, %.1f s of %.1f s told as unaccounted; lost: %d events, %d taskstats, %d exact records",
					100*share, unaccounted, used.Seconds(), s.Events.Lost, s.Records.TaskstatsLost, s.Records.ExactLost))
		})
	}
}
