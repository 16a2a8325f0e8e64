// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newQuietWaiter waits for a descriptor on which nothing comes.
func newQuietWaiter(t *testing.T) *Waiter {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	w, err := NewWaiter(fd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// A pause ends by Wake, whether that comes before, early or late in it, and a
// pause that keeps its processor lets a collection have it.
func TestWaiterWake(t *testing.T) {
	for name, short := range map[string]time.Duration{"keeps its processor": time.Hour, "gives it back": 0} {
		t.Run(name, func(t *testing.T) {
			w := newQuietWaiter(t)
			w.short = short
			const wakes = 1000
			ended := make(chan error)
			go func() {
				for range wakes {
					ended <- w.Pause(time.Hour)
				}
			}()
			for i := range wakes {
				w.Wake()
				if err := <-ended; err != nil {
					t.Fatal(err)
				}
				if i%100 == 0 {
					runtime.GC()
				}
			}
		})
	}
}

func TestWaiterPauseEnds(t *testing.T) {
	w := newQuietWaiter(t)
	for _, short := range []time.Duration{0, time.Hour} {
		w.short = short
		for range 10 { // would last for ever if one did not end by itself
			if err := w.Pause(time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, want := testing.AllocsPerRun(10, func() { w.Pause(time.Millisecond) }), 0.0; got != want {
		t.Errorf("a pause allocates %v times", got)
	}
}
