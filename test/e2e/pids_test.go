// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	"elsa/internal/kerneltest"
)

// Each pid is used again and again within a second: every death is on the bill,
// with all events and with taskstats that lose most records.
func TestKernelPidsUsedAgain(t *testing.T) {
	needKernel(t)
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"exact records", nil},
		{"taskstats lost", []string{"--exact", "off", "--taskstats", "on", "--taskstats-buffer", "4096"}},
		{"lines only", []string{"--exact", "off", "--taskstats", "off"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := start(t, tt.args...)
			kerneltest.Sysctl(t, "kernel/pid_max", "2000")
			truth := d.workload("a", "storm", "5000", "2")
			u := d.usage("a")
			if got, want := u.Usage.ProcessesEnded, uint64(truth.Processes); got != want {
				t.Errorf("%d processes ended, want %d", got, want)
			}
		})
	}
}
