// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand/v2"
)

// shells is how often the shell of one build runs two commands. A build is
// short and made often: what else the machine does changes from second to
// second, and less within a round than between two.
const shells = 200

// base is the setup that the others are compared with.
const base = "a bare listener, which reads each event and forgets it"

// slowdown compares a load of short processes, as a build is, with nothing on,
// a bare listener, and one stage of elsad more at a time.
func (b *bench) slowdown() error {
	setups := []struct {
		name  string
		start func() (*program, error)
		limit string // of the ratio
	}{
		{"nothing", nil, ""},
		{"a listener that reads nothing", func() (*program, error) { return b.listener("none") }, ""},
		{base, func() (*program, error) { return b.listener("all") }, ""},
		{"elsad, events alone", func() (*program, error) { return b.elsad("--acct", "off", "--taskstats", "off", "--exact", "off") }, "≤ 1.02"},
		{"accounting too", func() (*program, error) { return b.elsad("--taskstats", "off", "--exact", "off") }, "≤ 1.02"},
		{"taskstats too", func() (*program, error) { return b.elsad("--exact", "off") }, "≤ 1.02"},
		{"the BPF record too", func() (*program, error) { return b.elsad() }, "≤ 1.02"},
	}
	walls, cpus := map[string][]float64{}, map[string][]float64{}
	rounds := 4 * b.rounds
	for range rounds {
		for _, i := range rand.Perm(len(setups)) { // so that none always comes after the same
			s := setups[i]
			var p *program
			if s.start != nil {
				var err error
				if p, err = s.start(); err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
			}
			wall, cpu, err := b.load("shell", fmt.Sprint(shells))
			if err != nil {
				return err
			}
			if p != nil {
				if err := p.stop(); err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
			}
			walls[s.name], cpus[s.name] = append(walls[s.name], wall.Seconds()), append(cpus[s.name], cpu.Seconds())
		}
	}
	for _, s := range setups {
		var ratios, own []float64 // of each round by itself
		for r := range rounds {
			ratios = append(ratios, walls[s.name][r]/walls[base][r])
			own = append(own, cpus[s.name][r]/cpus[base][r])
		}
		name := s.name
		if name == base {
			name += " (what the others are compared with)"
		}
		r := row{
			what:  fmt.Sprintf("a build of %d short processes, with %s", 2*shells, name),
			ours:  fmt.Sprintf("%.1f ± %.1f ms", median(walls[s.name])*1e3, spread(walls[s.name])*1e3),
			peer:  fmt.Sprintf("its own CPU: %.1f ms, %.3f ± %.3f", median(cpus[s.name])*1e3, median(own), spread(own)),
			ratio: fmt.Sprintf("%.3f ± %.3f", median(ratios), spread(ratios)),
			limit: s.limit,
		}
		r.ok = median(ratios) <= 1.02
		b.rows = append(b.rows, r)
	}
	return nil
}
