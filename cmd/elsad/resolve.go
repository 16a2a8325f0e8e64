// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"elsa/pkg/acct"
	"elsa/pkg/groups"
	"elsa/pkg/ledger"
)

// resolve finds where the processes belong whose forks nobody saw: born and died
// while the service was down, or while events were lost. It reads the lines from
// the last to the first. A parent dies after its child or lives still, so when a
// child's line comes up, its parent has been placed; the line names the parent
// at death. A process that outlived its parent names the reaper: nothing proves
// where it belongs, and it is unattributed.
//
// A backlog may have millions of lines: four bytes are kept of each.
func (c *core) resolve(end ledger.Position) (places, error) {
	if c.gaps == 0 {
		return nil, nil
	}
	r := resolution{core: c, placed: map[int32]located{}, taken: map[groups.Key]spare{}, rests: map[groups.Key][]int{}}
	err := c.ledger.ReadBackward(c.position, end, func(recs []acct.Record) error {
		for i := range recs {
			r.line(&recs[i])
		}
		c.replay.advance(len(recs))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read accounting file: %w", err)
	}
	return r.back, nil
}

// resolution is one run of resolve.
type resolution struct {
	*core
	back   places
	placed map[int32]located // by pid: the life that comes next in time
	// A life is the first line's that fits it: later ones are of processes that had
	// the pid after it, unseen.
	taken map[groups.Key]spare
	// rests are the lines whose place rests on a life that the tracker knows and
	// whose own line was not met.
	rests map[groups.Key][]int
}

// located is where a life belongs, and the life that this rests on, or none.
type located struct {
	groups.Life
	on groups.Key
}

// spare is a line that was given to a life, and where its process belongs if it is
// not that life's.
type spare struct {
	line int
	own  located
}

// line places the process of the line before those placed by now.
func (c *resolution) line(r *acct.Record) {
	life, ok := c.tracker.Peek(r.PID, c.fits(r))
	if !ok || life.Unproven || life.Again {
		own := c.infer(r)
		c.placed[r.PID] = own
		c.back = append(c.back, 0)
		c.put(len(c.back)-1, own)
		return
	}
	k := life.Key()
	if later, twice := c.taken[k]; twice {
		c.put(later.line, later.own)
	}
	c.taken[k] = spare{len(c.back), c.infer(r)}
	c.back = append(c.back, 0)
	c.placed[r.PID] = located{Life: life}
	// It was dead when the processes died that seemed to be its children: theirs
	// was a later life of its pid, of which nobody knows.
	for _, line := range c.rests[k] {
		c.back[line] = placeOf(&stranger)
	}
	delete(c.rests, k)
}

// put notes where the process of a line belongs.
func (c *resolution) put(line int, at located) {
	c.back[line] = placeOf(&at.Life)
	if at.on != (groups.Key{}) {
		c.rests[at.on] = append(c.rests[at.on], line)
	}
}

// stranger is a life of which nothing proves where it belongs.
var stranger = groups.Life{Set: groups.Unattributed, Unproven: true}

// places are where the processes of lines belong, from the last line to the
// first.
type places []place

// of is the place of a line by its number.
func (p places) of(line int) (set groups.SetID, unproven, ok bool) {
	if line >= len(p) {
		return 0, false, false
	}
	at := p[len(p)-1-line]
	return groups.SetID((at - 1) >> 1), (at-1)&1 != 0, at != 0
}

// place is a set and whether it is unproven, or 0 where the tracker knows.
type place uint32

func placeOf(l *groups.Life) place {
	at := place(l.Set) << 1
	if l.Unproven {
		at |= 1
	}
	return at + 1
}

// infer places a process by its parent.
func (c *resolution) infer(r *acct.Record) located {
	if c.trusted == 0 || !c.bornSince(r, c.trusted) {
		// It lived when all members were known, and was none.
		return located{Life: groups.Life{Set: groups.Ungrouped}}
	}
	parent, ok := c.placed[r.PPID]
	if !ok {
		// Its line is not read yet. Of two that had the pid either may be meant.
		n := 0
		c.tracker.Peek(r.PPID, func(l *groups.Life) bool {
			if !l.Again && c.bornBefore(l, r) {
				parent = located{*l, l.Key()}
				n++
			}
			return false
		})
		ok = n == 1
	}
	if !ok || parent.Unproven || r.PPID <= 1 {
		return located{Life: stranger}
	}
	return located{groups.Life{Set: parent.Set}, parent.on}
}

// bornBefore reports whether a life may be older than the process of a line.
func (c *core) bornBefore(l *groups.Life, r *acct.Record) bool {
	for _, off := range c.offsets {
		if (l.Start+off)/1e9 <= r.Begin+1 {
			return true
		}
	}
	return false
}

// bornSince reports whether the process of a line began at or after a time, by
// whole seconds: in doubt it did.
func (c *core) bornSince(r *acct.Record, since int64) bool {
	for _, off := range c.offsets {
		if r.Begin+1 < (since+off)/1e9 {
			return false
		}
	}
	return true
}
