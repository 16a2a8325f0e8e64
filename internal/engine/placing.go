// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"elsa/pkg/acct"
	"elsa/pkg/groups"
)

// Placing finds where the processes belong whose forks nobody saw: born and died
// while the service was down, or while events were lost. It is given the lines of
// a stretch from the last to the first. A parent dies after its child or lives
// still, so when a child's line comes up, its parent has been placed; the line
// names the parent at death. A process that outlived its parent names the reaper:
// nothing proves where it belongs, and it is unattributed.
//
// A backlog may have millions of lines: four bytes are kept of each.
type Placing struct {
	engine *Engine
	// back is where the processes of the lines belong, from the last line to the
	// first; once lines are joined they are taken off its end.
	back []place
	// placed is, by pid, the life that comes next in time.
	placed map[int32]located
	// taken are the lines given to lives that the tracker knows. A life is that of
	// the first line that fits it: later ones are of processes that had the pid
	// after it, unseen.
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

// Place returns what finds the places of unseen processes; nil when all were seen,
// and then Backward need not be called.
func (e *Engine) Place() *Placing {
	if e.loss.gaps == 0 {
		return nil
	}
	return &Placing{engine: e, placed: map[int32]located{}, taken: map[groups.Key]spare{}, rests: map[groups.Key][]int{}}
}

// Backward takes lines from the last of the stretch to the first. It must see the
// very lines that Lines will see.
func (p *Placing) Backward(records []acct.Record) {
	for i := range records {
		p.line(&records[i])
	}
}

// sign is what tells that a life may be the process of a record. The weaker signs stand
// for a wall clock that was set, and fit others as well that lived as long.
type sign uint8

const (
	byBegin    sign = 1 << iota // in the second that the record tells
	byLifetime                  // as long as it tells
	bySurvival                  // after loss: it may have ended when the line was written
	anySign    = byBegin | byLifetime | bySurvival
)

// signs are those that count for a record: where several lives of its pid are known, only
// those may be it that fit best.
func (e *Engine) signs(r *acct.Record) sign {
	if !e.tracker.Reused(r.PID) {
		return anySign
	}
	for _, s := range [...]sign{byBegin, byLifetime} {
		if _, found := e.tracker.Peek(r.PID, func(l *groups.Life) bool { return e.fits(l, r, s) }); found {
			return s
		}
	}
	return bySurvival
}

// fits says whether a life may be the process of a record, by some signs and, after loss,
// by its parent.
func (e *Engine) fits(l *groups.Life, r *acct.Record, by sign) bool {
	lost := e.loss.gaps > 0
	return (by&byBegin != 0 && e.clocks.began(l, r) ||
		by&byLifetime != 0 && !e.clocks.tells(r, e.loss.trusted) && e.clocks.lived(l, r) ||
		by&bySurvival != 0 && lost && !(e.formerBoot[l.Key()] && e.clocks.ofThisBoot(r)) && e.clocks.outlived(l, r, e.loss.trusted)) &&
		!(lost && e.otherParent(l, r))
}

// otherParent tells, after loss, that a line is of another life of its pid, which
// may have begun in the same second: the parent of this one lives, so that no
// reaper took its place, and the line names another. The parent of this one is who
// forked it, and its line may name whose child that one is (CLONE_PARENT). That it lives
// is looked up: its end may be among what was lost.
func (e *Engine) otherParent(l *groups.Life, r *acct.Record) bool {
	if r.Source != acct.BSD || r.PPID == l.PPID || e.options.NoExits {
		return false
	}
	p, ok := e.tracker.Live(l.PPID)
	if !ok || !p.Start.MayFork(l.Start) || p.PPID == r.PPID {
		return false
	}
	now, alive := e.lookAgain(p.Key())
	return alive && now.Threads > 0 && !now.Ending
}

// line places the process of the line before those placed by now.
func (p *Placing) line(r *acct.Record) {
	by := p.engine.signs(r)
	life, ok := p.engine.tracker.Peek(r.PID, func(l *groups.Life) bool { return p.engine.fits(l, r, by) })
	if !ok || life.Unproven || life.Recorded {
		own := p.infer(r)
		p.placed[r.PID] = own
		p.back = append(p.back, 0)
		p.put(len(p.back)-1, own)
		return
	}
	k := life.Key()
	if later, twice := p.taken[k]; twice {
		p.put(later.line, later.own)
	}
	p.taken[k] = spare{len(p.back), p.infer(r)}
	p.back = append(p.back, 0)
	p.placed[r.PID] = located{Life: life}
	// It was dead when the processes died that seemed to be its children: theirs
	// was a later life of its pid, of which nobody knows.
	for _, line := range p.rests[k] {
		p.back[line] = placeOf(&stranger)
	}
	delete(p.rests, k)
}

// put notes where the process of a line belongs.
func (p *Placing) put(line int, at located) {
	p.back[line] = placeOf(&at.Life)
	if at.on != (groups.Key{}) {
		p.rests[at.on] = append(p.rests[at.on], line)
	}
}

// infer places a process by its parent.
func (p *Placing) infer(r *acct.Record) located {
	e := p.engine
	if e.loss.trusted == 0 || !e.clocks.bornSince(r, e.loss.trusted) {
		// It lived when all members were known, and was none.
		return located{Life: groups.Life{Set: groups.Ungrouped}}
	}
	parent, ok := p.placed[r.PPID]
	if !ok {
		// Its line is not read yet. Of two that had the pid either may be meant.
		n := 0
		e.tracker.Peek(r.PPID, func(l *groups.Life) bool {
			if !l.Recorded && e.clocks.bornBefore(l, r, e.loss.trusted) {
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

// next returns the place of the next line, in the order they are joined; ok is
// false where the tracker knows it.
func (p *Placing) next() (set groups.SetID, unproven, ok bool) {
	if p == nil || len(p.back) == 0 {
		return 0, false, false
	}
	at := p.back[len(p.back)-1]
	p.back = p.back[:len(p.back)-1]
	return groups.SetID((at - 1) >> 1), (at-1)&1 != 0, at != 0
}

// stranger is a life of which nothing proves where it belongs.
var stranger = groups.Life{Set: groups.Unattributed, Unproven: true}

// place is a set and whether it is unproven, or 0 where the tracker knows.
type place uint32

func placeOf(l *groups.Life) place {
	at := place(l.Set) << 1
	if l.Unproven {
		at |= 1
	}
	return at + 1
}
