// SPDX-License-Identifier: Apache-2.0

package stream

import "testing"

func TestRoom(t *testing.T) {
	for memory, want := range map[uint64]int{0: 64 << 20, 1 << 30: 64 << 20, 8 << 30: 256 << 20, 1 << 40: 1023 << 20, 1<<64 - 1: 1023 << 20} {
		if got := roomOf(memory); got != want {
			t.Errorf("with %d bytes of memory: %d, want %d", memory, got, want)
		}
	}
	if n := Room(); n < roomLeast || n > roomMost {
		t.Errorf("here: %d", n)
	}
}
