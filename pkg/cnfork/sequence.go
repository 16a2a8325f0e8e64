// SPDX-License-Identifier: Apache-2.0

package cnfork

// sequence watches one run of sequence numbers for holes. Numbers may arrive
// out of order within a window of 64, as the seed's unlocked counter and
// kernels before 4.8 let them; a number that comes late fills its hole.
type sequence struct {
	top     uint32 // highest seen
	seen    uint64 // bit i: top-i was seen
	missing int64
	begun   bool
}

// add notes the number n.
func (s *sequence) add(n uint32) {
	if !s.begun {
		// What came before the first number was not for us.
		*s = sequence{top: n, seen: ^uint64(0), begun: true}
		return
	}
	switch d := int32(n - s.top); { // wraps
	case d > 0:
		s.missing += int64(d) - 1
		s.seen = s.seen<<d | 1
		s.top = n
	case d > -64:
		if bit := uint64(1) << -d; s.seen&bit == 0 {
			s.seen |= bit
			s.missing--
		}
	}
}

// maxCPU bounds what a message can make us allocate; CONFIG_NR_CPUS is at most
// 8192.
const maxCPU = 1 << 14

// sequences are the process connector's numbers, one run per CPU.
type sequences struct {
	cpu     []sequence
	missing int64 // over all CPUs
}

// add notes that cpu sent the number n and returns false if there is no such
// cpu.
func (s *sequences) add(cpu, n uint32) bool {
	for uint32(len(s.cpu)) <= cpu {
		if cpu >= maxCPU {
			return false
		}
		s.cpu = append(s.cpu, sequence{})
	}
	q := &s.cpu[cpu]
	s.missing -= q.missing
	q.add(n)
	s.missing += q.missing
	return true
}
