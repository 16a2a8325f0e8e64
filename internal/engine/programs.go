// SPDX-License-Identifier: Apache-2.0

package engine

import "elsa/pkg/groups"

// programs are the names of the programs that live processes executed, as they were
// called at that time: a process may rename its threads, and itself. They are known
// where an event tells them, as by BPF, and where rules looked. What was forked and
// executed nothing has none.
type programs struct {
	names map[groups.Key][16]byte
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
		p.names, p.room = map[groups.Key][16]byte{}, minPrograms
	}
	p.names[k] = comm
}

// name returns the name of what a process executed, if it is known.
func (p *programs) name(k groups.Key) ([16]byte, bool) {
	name, known := p.names[k]
	return name, known
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
