// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// programs are what live processes executed. The name is as it was at that time: a
// process may rename its threads, and itself. It is known where an event tells it, as by
// BPF, and where rules looked. What was forked and executed nothing has none.
type programs struct {
	names map[groups.Key]usage.Program
	// room is with how many names those of the dead are looked for.
	room int
}

// minPrograms are so many names that looking for the dead among fewer is not worth it.
const minPrograms = 4096

// executed notes the name of what a process executed.
func (p *programs) executed(k groups.Key, comm [16]byte) {
	if comm[0] == 0 {
		return
	}
	if p.names == nil {
		p.names, p.room = map[groups.Key]usage.Program{}, minPrograms
	}
	p.names[k] = usage.Program{Comm: comm}
}

// peak notes how much memory the program had at most, at the end of a process.
func (p *programs) peak(k groups.Key, bytes uint64) {
	if program, known := p.names[k]; known {
		program.Peak = bytes
		p.names[k] = program
	}
}

// get returns what a process executed, if it is known.
func (p *programs) get(k groups.Key) (usage.Program, bool) {
	program, known := p.names[k]
	return program, known
}

// ended forgets the name of a process.
func (p *programs) ended(k groups.Key) { delete(p.names, k) }

// sweep forgets processes of which no death came, once there are many.
func (p *programs) sweep(known func(groups.Key) bool) {
	if len(p.names) <= p.room {
		return
	}
	for k := range p.names {
		if !known(k) {
			delete(p.names, k)
		}
	}
	p.room = max(minPrograms, 2*len(p.names))
}
