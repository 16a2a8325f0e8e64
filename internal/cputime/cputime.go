// SPDX-License-Identifier: Apache-2.0

// Package cputime divides CPU time that the scheduler measured into user and
// system time.
package cputime

import (
	"math/bits"
	"time"
)

// Split divides total in the ratio of the ticks that sampled user and system
// time. It follows cputime_adjust() in the kernel's kernel/sched/cputime.c, which
// settles getrusage(2): without system ticks all of it is user time, also where
// there are no ticks at all; without user ticks all of it is system time; else
// system time is rounded down. Negative ticks count as none. The two parts add up
// to total; neither is negative unless total is.
func Split(total, userTicks, systemTicks time.Duration) (user, system time.Duration) {
	switch {
	case systemTicks <= 0 || total <= 0:
		return total, 0
	case userTicks <= 0:
		return 0, total
	}
	hi, lo := bits.Mul64(uint64(total), uint64(systemTicks))
	q, _ := bits.Div64(hi, lo, uint64(userTicks)+uint64(systemTicks))
	system = time.Duration(q)
	return total - system, system
}
