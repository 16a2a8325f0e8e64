// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"testing"
	"time"
)

// Patience bounds every wait for a condition. A busy machine may take long; only
// a test that fails waits for all of it.
const Patience = 2 * time.Minute

// Eventually waits until f is true, and fails t with what it waited for if that
// takes longer than two minutes. It asks again after a pause that grows from 5
// to 100 ms. Only the goroutine of the test may call it.
func Eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	pause := 5 * time.Millisecond
	for end := time.Now().Add(Patience); !f(); time.Sleep(pause) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
		pause = min(2*pause, 100*time.Millisecond)
	}
}
