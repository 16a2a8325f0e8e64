// SPDX-License-Identifier: Apache-2.0

package taskevent

import (
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/kerneltest"
	"elsa/pkg/proc"
)

// TestKernelBPFLost reads nothing while more happens than the ring holds: what is
// delivered and what is told as lost are all.
func TestKernelBPFLost(t *testing.T) {
	need(t)
	s, err := Dial(t.Context(), Config{RingBytes: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	const pairs = 400
	for range pairs {
		if _, err := kerneltest.Fork(); err != nil {
			t.Fatal(err)
		}
	}
	f := run(t, s)
	f.barrier()
	// Others' are among them, so only too few are wrong.
	if n := uint64(len(f.events)) + f.lost; f.lost == 0 || n < 2*pairs {
		t.Errorf("%d events and %d lost of %d", len(f.events), f.lost, 2*pairs)
	}
	f.events, f.lost = nil, 0
	from := proc.Now()
	if _, err := kerneltest.Fork(); err != nil {
		t.Fatal(err)
	}
	f.barrier()
	if diff := cmp.Diff([]string{"self forks a", "a ends"}, f.family(from)); diff != "" || f.lost != 0 {
		t.Errorf("after the loss %d are lost, and events (-want +got):\n%s", f.lost, diff)
	}
}

// TestKernelBPFResume closes a source whose descriptors are kept: what happens while
// nobody reads waits in the ring.
func TestKernelBPFResume(t *testing.T) {
	need(t)
	warm(t)
	first, err := Dial(t.Context(), Config{RingBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	h, err := first.Handles()
	if err != nil {
		t.Fatal(err)
	}
	from := proc.Now()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command("/bin/true").Run(); err != nil {
		t.Fatal(err)
	}
	s, err := Resume(h, first.Lost(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	f := run(t, s)
	f.barrier()
	// The last child is the proof.
	want := []string{"self forks a", "a executes true", "a ends", "self forks b", "b ends"}
	if diff := cmp.Diff(want, f.family(from)); diff != "" || f.lost != 0 {
		t.Errorf("%d lost, and events (-want +got):\n%s", f.lost, diff)
	}
}
