// SPDX-License-Identifier: Apache-2.0

package usage

import "slices"

// Filled is what a group took of the past: what processes used that ended before they
// were put in it. They are on the bills of the sets they were in when they ended, too,
// and in no total twice.
type Filled struct {
	// Group is the id of the group.
	Group uint32
	// Others are the ids of the groups that had these processes before, ascending.
	Others []uint32
	Usage  Usage
}

// AddFilled puts what groups took of the past on their bills; each calls its argument for
// every part. Totals stay as they are.
func (s *Snapshot) AddFilled(each func(func(*Filled))) {
	place := make(map[uint32]int, len(s.Groups))
	for i := range s.Groups {
		place[s.Groups[i].Group.ID] = i
	}
	each(func(p *Filled) {
		i, ok := place[p.Group]
		if !ok {
			return
		}
		s.Groups[i].Usage.Add(&p.Usage)
		if len(p.Others) > 0 {
			s.Filled = append(s.Filled, Filled{p.Group, slices.Clone(p.Others), p.Usage})
		}
	})
}
