// SPDX-License-Identifier: Apache-2.0

// Package machine makes up the rows of a machine that builds software, for tests and
// benchmarks of the archive.
package machine

import (
	"math/rand/v2"
	"strconv"
	"time"

	"elsa/internal/journal"
	"elsa/pkg/usage"
)

// Machine makes rows: compilers under drivers under make, some of them in groups. The
// same begin and rate make the same rows. It belongs to one goroutine.
type Machine struct {
	rand   *rand.Rand
	groups []*journal.Groups
	rate   int
	made   uint64
	now    int64
	pid    int32

	parent      int32
	parentStart int64
	last        [64]ancestry // of the last rows
}

type ancestry struct {
	parent int32
	start  int64
}

// New is a machine on which the first process ended after begin, and as many end in a
// second as rate says, each in one of groups, the first of which is the most frequent.
func New(begin time.Time, rate int, groups []*journal.Groups) *Machine {
	return &Machine{rand: rand.New(rand.NewPCG(3, 4)), groups: groups, rate: rate, now: begin.UnixNano(), pid: 20000, parent: 1}
}

var commands = []string{"cc1", "as", "collect2", "ld", "gcc", "sh", "make", "sed", "grep", "cat", "rm", "mkdir", "cp", "expr", "python3"}

// Next fills x with the next row.
func (m *Machine) Next(x *journal.Row) {
	r := m.rand
	m.now += int64(r.ExpFloat64() * 1e9 / float64(m.rate))
	m.pid++
	if r.IntN(8) == 0 && m.made > 50 {
		p := m.last[(m.made-1-uint64(r.IntN(50)))%uint64(len(m.last))]
		m.parent, m.parentStart = p.parent, p.start
		if r.IntN(2) == 0 {
			m.parent, m.parentStart = m.pid-int32(r.IntN(30)), m.now-int64(r.ExpFloat64()*5e8)
		}
	}
	m.last[m.made%uint64(len(m.last))] = ancestry{m.parent, m.parentStart}
	m.made++
	lived := int64(r.ExpFloat64() * 3e7)
	*x = journal.Row{Seq: m.made, PID: m.pid, PPID: m.parent, Start: m.now - lived, End: m.now, ParentStart: m.parentStart,
		Groups: m.groups[min(int(r.ExpFloat64()*1.2), len(m.groups)-1)], UID: uint32(1000 + min(int(r.ExpFloat64()), 3)), GID: 1000, Exited: true, Precision: journal.Exact}
	x.User = "user" + strconv.Itoa(int(x.UID))
	copy(x.Comm[:], commands[min(int(r.ExpFloat64()*4), len(commands)-1)])
	switch r.IntN(40) {
	case 0, 1:
		x.Status = 1 << 8
	case 2:
		x.Status = 9
	case 3:
		x.Part, x.Exited, x.Precision = 1, false, journal.Partial
	}
	cpu := min(uint64(r.ExpFloat64()*1.5e7), uint64(lived))
	x.Measure = usage.Measure{usage.User: cpu * 7 / 10, usage.System: cpu - cpu*7/10, usage.Elapsed: uint64(lived),
		usage.MinorFaults: uint64(80 + r.ExpFloat64()*400), usage.ReadChars: uint64(r.ExpFloat64() * 60000),
		usage.WriteChars: uint64(r.ExpFloat64()*3000) * uint64(r.IntN(2)), usage.MaxRSS: uint64(900+r.ExpFloat64()*6000) << 10,
		usage.VoluntarySwitches: uint64(r.ExpFloat64() * 3), usage.InvoluntarySwitches: uint64(r.ExpFloat64()),
		usage.CPUDelay: uint64(r.ExpFloat64() * 80000)}
	if r.IntN(10) == 0 {
		x.Measure[usage.WriteBytes] = uint64(r.IntN(100)) << 12
	}
}
