// SPDX-License-Identifier: Apache-2.0

// Package descriptors divides the file descriptors that the process may have, so
// that clients never take those that the service itself needs.
package descriptors

import "golang.org/x/sys/unix"

// reserve is what the service itself needs, with room for root's connections.
const reserve = 160

// Share is how many connections one of two listeners may hold: as many as it wants
// or, where RLIMIT_NOFILE is low, half of what is left of it. The runtime has
// raised the soft limit to the hard one.
func Share(want int) int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return want
	}
	return share(want, limit.Cur)
}

func share(want int, limit uint64) int {
	if limit > 1<<20 {
		return want
	}
	return max(8, min(want, (int(limit)-reserve)/2))
}
