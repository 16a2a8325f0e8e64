// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"cmp"
	"slices"
	"time"
)

// The counter of CPU has so many steps at most, none shorter than leastStep.
const (
	maxSteps  = 1000
	leastStep = int64(time.Millisecond)
)

// edge is by how much the number of live processes changes at a moment.
type edge struct {
	at   int64
	more int
}

// live are the changes of the number of live processes, one for each moment.
func (p *picture) live() []edge {
	var edges []edge
	for i := range p.spans {
		if s := &p.spans[i]; !s.within {
			edges = append(edges, edge{s.started, 1}, edge{s.ended, -1})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.at, b.at) })
	n := 0
	for _, e := range edges {
		if n > 0 && edges[n-1].at == e.at {
			edges[n-1].more += e.more
			continue
		}
		edges[n] = e
		n++
	}
	return edges[:n]
}

// cpu is the CPU time that was used in each step from the first start on, each process's
// spread evenly over its life.
func (p *picture) cpu() (step int64, user, system []int64) {
	if len(p.spans) == 0 {
		return 0, nil, nil
	}
	first, last := p.spans[0].started, int64(0)
	for i := range p.spans {
		last = max(last, p.spans[i].ended)
	}
	step = max(leastStep, (last-first)/maxSteps+1)
	n := (last-first)/step + 1
	user, system = make([]int64, n), make([]int64, n)
	for i := range p.spans {
		s := &p.spans[i]
		lived, from := s.ended-s.started, s.started-first
		var wasUser, wasSystem int64
		for k := from / step; k <= (s.ended-first)/step; k++ {
			isUser, isSystem := s.cpuUser, s.cpuSystem
			if end := (k+1)*step - from; end < lived {
				part := float64(end) / float64(lived)
				isUser, isSystem = int64(part*float64(isUser)), int64(part*float64(isSystem))
			}
			user[k] += isUser - wasUser
			system[k] += isSystem - wasSystem
			wasUser, wasSystem = isUser, isSystem
		}
	}
	return step, user, system
}
