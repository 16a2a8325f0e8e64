// SPDX-License-Identifier: Apache-2.0

package taskrelease

import (
	"context"
	"maps"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"elsa/pkg/tracepoint"
)

// TestKernelExactResume closes a source whose descriptors are kept: what is
// freed while nobody reads waits in the ring.
func TestKernelExactResume(t *testing.T) {
	need(t)
	first, err := Dial(t.Context(), Config{RingBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	h, err := first.Handles()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	want := map[int32]bool{}
	for range 3 {
		cmd := exec.Command("/bin/true")
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		want[int32(cmd.Process.Pid)] = true
	}
	s, err := Resume(h, first.Lost(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	for b := range s.Batches() {
		for i := range b.Items {
			delete(want, b.Items[i].PID)
		}
		if b.Lost != 0 {
			t.Errorf("%d lost", b.Lost)
		}
		s.Release(b)
		if len(want) == 0 {
			cancel()
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(want) != 0 {
		t.Errorf("no records of %v", want)
	}
}

// TestKernelExactResumeForeign swaps descriptors: none that does not go together
// is gone on with, and all are closed.
func TestKernelExactResumeForeign(t *testing.T) {
	need(t)
	s, err := Dial(t.Context(), Config{RingBytes: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	other, err := Dial(t.Context(), Config{RingBytes: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, tt := range []struct {
		name  string
		spoil func(h, o tracepoint.Handles)
	}{
		{"another's link", func(h, o tracepoint.Handles) { h["link"], o["link"] = o["link"], h["link"] }},
		{"maps swapped", func(h, _ tracepoint.Handles) { h["ring"], h["drops"] = h["drops"], h["ring"] }},
		{"a map for a program", func(h, _ tracepoint.Handles) { h["program"], h["ring"] = h["ring"], h["program"] }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, err := s.Handles()
			if err != nil {
				t.Fatal(err)
			}
			o, err := other.Handles()
			if err != nil {
				t.Fatal(err)
			}
			tt.spoil(h, o)
			fds := slices.Collect(maps.Values(h))
			defer o.Close()
			if s, err := Resume(h, 0, Config{}); err == nil {
				s.Close()
				t.Error("went on")
			}
			for _, fd := range fds {
				if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
					t.Errorf("descriptor %d is open: %v", fd, err)
				}
			}
		})
	}
}
