// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"testing"

	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// TestChooseHidesOfThoseWhoHaveMost: a user's many groups, or a rule's, hide none
// of others, and its newest go first.
func TestChooseHidesOfThoseWhoHaveMost(t *testing.T) {
	var list []usage.GroupTotal
	add := func(n int, owner uint32, rule string) {
		for range n {
			g := usage.GroupTotal{Group: groups.Group{ID: uint32(len(list) + 1), Owner: owner, Labels: map[string]string{}}}
			if rule != "" {
				g.Group.Labels["rule"] = rule
			}
			g.Usage[usage.Live] = 1
			list = append(list, g)
		}
	}
	add(2000, 65534, "") // before all others
	add(300, 0, "line 9")
	add(10, 0, "line 5")
	add(10, 0, "")
	add(30, 1000, "")
	add(1, 1001, "")
	for _, tt := range []struct {
		limit int
		shown map[maker]int
	}{
		{2000, map[maker]int{{}: 10, {kind: 1, rule: "line 9"}: 300, {kind: 1, rule: "line 5"}: 10, {kind: 2, owner: 1000}: 30, {kind: 2, owner: 1001}: 1, {kind: 2, owner: 65534}: 1649}},
		{351, map[maker]int{{}: 10, {kind: 1, rule: "line 9"}: 300, {kind: 1, rule: "line 5"}: 10, {kind: 2, owner: 1000}: 15, {kind: 2, owner: 1001}: 1, {kind: 2, owner: 65534}: 15}},
		{40, map[maker]int{{}: 10, {kind: 1, rule: "line 9"}: 20, {kind: 1, rule: "line 5"}: 10}},
		{5, map[maker]int{{}: 5}},
		{0, map[maker]int{}},
	} {
		hidden, omitted := choose(list, tt.limit)
		shown, last := map[maker]int{}, map[maker]uint32{}
		for i := range list {
			m := makerOf(&list[i].Group)
			if hidden[i] {
				last[m] = list[i].Group.ID
				continue
			}
			shown[m]++
			if last[m] != 0 {
				t.Errorf("limit %d: group %d of %+v is hidden, the newer %d is shown", tt.limit, last[m], m, list[i].Group.ID)
			}
		}
		if omitted != len(list)-tt.limit {
			t.Errorf("limit %d: %d omitted", tt.limit, omitted)
		}
		for i := range list {
			if m := makerOf(&list[i].Group); shown[m] != tt.shown[m] {
				t.Errorf("limit %d: %d groups of %+v are shown, want %d", tt.limit, shown[m], m, tt.shown[m])
				break
			}
		}
	}
}
