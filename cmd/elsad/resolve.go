// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"elsa/pkg/acct"
	"elsa/pkg/groups"
)

// resolve finds where the processes belong whose forks nobody saw: born and died
// while the service was down, or while events were lost. It reads the lines from
// the last to the first. A parent dies after its child or lives still, so when a
// child's line comes up, its parent has been placed; the line names the parent
// at death. A process that outlived its parent names the reaper: nothing proves
// where it belongs, and it is unattributed.
//
// A backlog may have millions of lines: four bytes are kept of each.
func (c *core) resolve(end acct.Position) (places, error) {
	if c.gaps == 0 {
		return nil, nil
	}
	placed := map[int32]groups.Life{} // by pid: the life that comes next in time
	var back places
	// A life is the first line's that fits it: later ones are of processes that had
	// the pid after it, unseen.
	type spare struct {
		line int
		at   place // of the process, if the life is not its own
	}
	taken := map[groups.Key]spare{}
	err := c.ledger.ReadBackward(c.position, end, func(recs []acct.Record) error {
		for i := range recs {
			r := &recs[i]
			life, ok := c.tracker.Peek(r.PID, c.fits(r))
			var at place
			if !ok || life.Unproven || life.Again {
				life = c.infer(r, placed)
				at = placeOf(&life)
			} else {
				if later, twice := taken[life.Key()]; twice {
					back[later.line] = later.at
				}
				own := c.infer(r, placed)
				taken[life.Key()] = spare{len(back), placeOf(&own)}
			}
			back = append(back, at)
			placed[r.PID] = life
		}
		c.replay.advance(len(recs))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read accounting file: %w", err)
	}
	return back, nil
}

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

func (c *core) infer(r *acct.Record, placed map[int32]groups.Life) groups.Life {
	if c.trusted == 0 || !c.bornSince(r, c.trusted) {
		// It lived when all members were known, and was none.
		return groups.Life{Set: groups.Ungrouped}
	}
	parent, ok := placed[r.PPID]
	if !ok {
		// Its line is not read yet. Of two that had the pid either may be meant.
		n := 0
		c.tracker.Peek(r.PPID, func(l *groups.Life) bool {
			if !l.Again && c.bornBefore(l, r) {
				parent = *l
				n++
			}
			return false
		})
		ok = n == 1
	}
	if !ok || parent.Unproven || r.PPID <= 1 {
		return groups.Life{Set: groups.Unattributed, Unproven: true}
	}
	return groups.Life{Set: parent.Set}
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
