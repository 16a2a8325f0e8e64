// SPDX-License-Identifier: Apache-2.0

package proc

import "testing"

func TestCountList(t *testing.T) {
	for list, want := range map[string]int{"0": 1, "0-3": 4, "0-3,5": 5, "1,3-4,8-8": 4, "": 0, "x": 0, "3-1": 0, "0-": 0, "-1": 0, "0,,2": 0} {
		if got := countList(list); got != want {
			t.Errorf("countList(%q) = %d, want %d", list, got, want)
		}
	}
	if n := CPUs(); n < 1 {
		t.Errorf("%d CPUs", n)
	}
}
