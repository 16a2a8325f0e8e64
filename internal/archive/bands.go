// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"cmp"
	"math"
	"slices"
	"time"

	"elsa/internal/query"
)

// bands adds up the rows of a life by step, and those that are not drawn by command.
type bands struct {
	list      []query.Band
	series    []*series // of list
	of        map[string]int
	drawn     map[row]bool
	live, cpu *series
	sources   *spans
	whole     map[partOf]bool // are drawn with all their parts
	parts     map[partOf]*parted
	seen      map[partOf]int64 // of parts, up to when
}

// bands are those of a life: of the costliest commands that are not drawn, and one for all
// others.
func (c *choice) bands(l *query.Life, drawn map[row]bool, whole map[partOf]bool) *bands {
	b := &bands{of: map[string]int{}, drawn: drawn, live: newSeries(l), cpu: newSeries(l), sources: &c.byCPU, whole: whole, parts: c.parts, seen: map[partOf]int64{}}
	type rest struct {
		command string
		cpu, n  int64
	}
	left := map[string]*rest{}
	var list []*rest
	for _, s := range c.sums.list {
		r := &rest{s.Key[0], s.figures[CPUUser] + s.figures[CPUSystem], s.Processes}
		left[r.command], list = r, append(list, r)
	}
	for _, s := range l.Spans {
		if r := left[s.Command]; r != nil {
			r.cpu -= s.CPU
			if !s.Part {
				r.n--
			}
		}
	}
	list = slices.DeleteFunc(list, func(r *rest) bool { return r.cpu <= 0 && r.n <= 0 })
	slices.SortFunc(list, func(a, b *rest) int { return cmp.Or(cmp.Compare(b.cpu, a.cpu), cmp.Compare(a.command, b.command)) })
	for i, r := range list[:min(len(list), query.MaxBands-1)] {
		b.of[r.command] = i
		b.list, b.series = append(b.list, query.Band{Command: r.command}), append(b.series, newSeries(l))
	}
	b.list, b.series = append(b.list, query.Band{}), append(b.series, newSeries(l))
	return b
}

func (s *bands) take(b *batch, found []int32) error {
	if err := b.need(Source, Seq, Part, PID, Started, Ended, Command, CPUUser, CPUSystem); err != nil {
		return err
	}
	for _, i := range found {
		started, ended := b.ints[Started][i], max(b.ints[Started][i], b.ints[Ended][i])
		cpu := b.ints[CPUUser][i] + b.ints[CPUSystem][i]
		// What a row has was used since the hour began in which it ends, and since the part
		// before.
		from, of := max(started, floor(ended-1, int64(time.Hour))*int64(time.Hour)), lifeOf(b, i)
		lives := true
		p := s.parts[of]
		if p != nil {
			lives = p.ended == ended
			from = max(from, s.seen[of])
			s.seen[of] = max(s.seen[of], ended)
		}
		if lives {
			s.live.add(started, ended, 1)
		}
		if ended > from {
			s.cpu.add(from, ended, float64(cpu)/float64(ended-from))
		}
		if p != nil && s.whole[of] || s.drawn[row{s.sources.sourceOf(b.str(Source, i)), uint64(b.ints[Seq][i])}] {
			continue
		}
		k, known := s.of[b.str(Command, i)]
		if !known {
			k = len(s.list) - 1
		}
		s.list[k].CPU += cpu
		if b.ints[Part][i] == 0 {
			s.list[k].Processes++
		}
		if lives {
			s.series[k].add(started, ended, 1)
		}
	}
	return nil
}

// end writes what was added up.
func (s *bands) end(l *query.Life) {
	l.Live, l.CPUs = s.live.values(), s.cpu.values()
	for i := range s.list {
		if s.list[i].Processes == 0 && s.list[i].CPU == 0 {
			continue
		}
		s.list[i].Live = s.series[i].values()
		l.Bands = append(l.Bands, s.list[i])
	}
}

// series is the mean of something over each step of a time.
type series struct {
	since, until, step int64
	part               []float64 // of steps that are not filled
	change             []float64 // of those that are, from a step on
}

func newSeries(l *query.Life) *series {
	n := (l.Until-l.Since-1)/l.Step + 1
	return &series{since: l.Since, until: l.Until, step: l.Step, part: make([]float64, n), change: make([]float64, n+1)}
}

// add adds what was so much from one moment to another.
func (s *series) add(from, to int64, much float64) {
	from, to = max(from, s.since)-s.since, min(to, s.until)-s.since
	if from >= to {
		return
	}
	first, last := from/s.step, (to-1)/s.step
	length := func(k int64) float64 { return float64(min((k+1)*s.step, s.until-s.since) - k*s.step) } // the last one is shorter
	if first == last {
		s.part[first] += much * float64(to-from) / length(first)
		return
	}
	s.part[first] += much * float64((first+1)*s.step-from) / length(first)
	s.part[last] += much * float64(to-last*s.step) / length(last)
	s.change[first+1] += much
	s.change[last] -= much
}

// values are the means, to four decimals.
func (s *series) values() []float64 {
	out, now := make([]float64, len(s.part)), 0.0
	for k := range out {
		now += s.change[k]
		out[k] = math.Round(max(now+s.part[k], 0)*1e4) / 1e4
	}
	return out
}
