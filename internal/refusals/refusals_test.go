// SPDX-License-Identifier: Apache-2.0

package refusals

import "testing"

func TestEveryKindHasAName(t *testing.T) {
	var c Counts
	for k := range kinds {
		for range int(k) + 1 {
			c.Add(k)
		}
	}
	m := c.Map()
	if len(m) != int(kinds) {
		t.Errorf("%d names for %d kinds: %v", len(m), kinds, m)
	}
	for k := range kinds {
		if m[k.String()] != uint64(k)+1 {
			t.Errorf("%q is %d, want %d", k, m[k.String()], k+1)
		}
	}
	var none *Counts
	none.Add(Memory)
	if none.Map()["memory"] != 0 {
		t.Error("nil counts")
	}
}
