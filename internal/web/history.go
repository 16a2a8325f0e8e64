// SPDX-License-Identifier: Apache-2.0

package web

import (
	"math"
	"time"

	"elsa/pkg/usage"
)

// The past is kept in bins of half a minute, an hour of them.
const (
	binWidth = 30 * time.Second
	binCount = int64(time.Hour / binWidth)
	// maxRings bounds the memory of the past: about 2.5 MB.
	maxRings = 4096
)

// lastHour is the CPU time that each group used over the last hour. Groups that
// used none have no ring.
type lastHour struct {
	rings                               map[uint32]*ring
	any, ungrouped, unattributed, total ring
	// since and last are the times of the first and the last snapshot seen.
	since time.Time
	last  *usage.Snapshot
	// turnedAway counts, at the last snapshot, the active groups for which
	// there was no room.
	turnedAway int
}

// ring holds CPU seconds by bin. Bin b, counted from 1970, is at b modulo
// binCount; newest is the newest bin written.
type ring struct {
	seconds [binCount]float32
	newest  int64
	// rate is the CPU time per second between the last two snapshots that
	// had any, the later one at rateAt.
	rate   float32
	rateAt time.Time
}

// observe takes in a snapshot. One that is not later than the one before
// counts for nothing.
func (h *lastHour) observe(s *usage.Snapshot) {
	if h.last == nil {
		h.rings = make(map[uint32]*ring)
		h.since, h.last = s.Time, s
		return
	}
	if !s.Time.After(h.last.Time) {
		return
	}
	h.turnedAway = 0
	h.total.add(h.last.Time, s.Time, s.Total.CPU()-h.last.Total.CPU())
	h.any.add(h.last.Time, s.Time, s.AnyGroup.CPU()-h.last.AnyGroup.CPU())
	h.ungrouped.add(h.last.Time, s.Time, s.Ungrouped.CPU()-h.last.Ungrouped.CPU())
	h.unattributed.add(h.last.Time, s.Time, s.Unattributed.CPU()-h.last.Unattributed.CPU())

	for id, r := range h.rings { // an hour of nothing needs no ring
		if r.newest <= bin(s.Time)-binCount {
			delete(h.rings, id)
		}
	}
	j := 0 // both lists are in order of the name
	before := h.last.Groups
	for i := range s.Groups {
		g := &s.Groups[i]
		for j < len(before) && before[j].Group.Name < g.Group.Name {
			j++
		}
		used := g.Usage.CPU()
		if j < len(before) && before[j].Group.ID == g.Group.ID {
			used -= before[j].Usage.CPU()
		}
		if used <= 0 {
			continue
		}
		r := h.rings[g.Group.ID]
		if r == nil && len(h.rings) < maxRings {
			r = &ring{}
			h.rings[g.Group.ID] = r
		}
		if r == nil {
			h.turnedAway++
			continue
		}
		r.add(h.last.Time, s.Time, used)
	}
	h.last = s
}

func bin(t time.Time) int64 { return t.UnixNano() / int64(binWidth) }

// add spreads CPU time evenly from one time to another. Nothing is no use.
func (r *ring) add(from, to time.Time, used time.Duration) {
	if used <= 0 {
		return
	}
	r.rate, r.rateAt = float32(used.Seconds()/to.Sub(from).Seconds()), to
	perNano := used.Seconds() / float64(to.Sub(from))
	last := bin(to)
	for b := max(r.newest+1, last-binCount+1); b <= last; b++ {
		r.seconds[b%binCount] = 0
	}
	r.newest = last
	for b := max(bin(from), last-binCount+1); b <= last; b++ {
		start, end := b*int64(binWidth), (b+1)*int64(binWidth)
		start, end = max(start, from.UnixNano()), min(end, to.UnixNano())
		r.seconds[b%binCount] += float32(float64(end-start) * perNano)
	}
}

// now returns the CPU use, in cores, at the last snapshot.
func (h *lastHour) now(r *ring) float64 {
	if r == nil || h.last == nil || !r.rateAt.Equal(h.last.Time) {
		return 0
	}
	return float64(r.rate)
}

// used returns the CPU time of the last hour. r may be nil.
func (h *lastHour) used(r *ring) (d time.Duration) {
	if h.last == nil || r == nil {
		return 0
	}
	end := bin(h.last.Time)
	for b := end - binCount + 1; b <= min(end, r.newest); b++ {
		d += time.Duration(float64(r.seconds[b%binCount]) * 1e9)
	}
	return d
}

// cores returns the CPU use of the last hour's full bins, oldest first. NaN
// stands for the time before the first snapshot. r may be nil.
func (h *lastHour) cores(r *ring) []float64 {
	if h.last == nil {
		return nil
	}
	values := make([]float64, 0, binCount-1)
	end := bin(h.last.Time) // not full yet
	for b := end - binCount + 1; b < end; b++ {
		switch {
		case b*int64(binWidth) < h.since.UnixNano():
			values = append(values, math.NaN())
		case r == nil || b > r.newest:
			values = append(values, 0)
		default:
			values = append(values, float64(r.seconds[b%binCount])/binWidth.Seconds())
		}
	}
	return values
}
