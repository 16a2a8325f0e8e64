// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"os/exec"
	"sync"
	"testing"

	"elsa/test/workload"
)

// overrun forks, outside all groups, until stop is called, fast enough to
// overrun a small buffer of events.
func overrun(t testing.TB) (stop func()) {
	end := make(chan struct{})
	var g sync.WaitGroup
	program := workload.Build(t)
	g.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
			}
			if out, err := exec.Command(program, "storm", "300", "8").CombinedOutput(); err != nil {
				t.Errorf("storm: %v: %s", err, out)
				return
			}
		}
	})
	return func() { close(end); g.Wait() }
}
