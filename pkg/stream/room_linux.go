// SPDX-License-Identifier: Apache-2.0

package stream

import "golang.org/x/sys/unix"

// Room is how much a socket should hold for a reader that is stopped or starved in a
// storm, in bytes: a 32nd of the machine's memory, 64 MiB at least and 1 GiB less a little at most.
// The kernel doubles it, takes memory only for what waits, and gives it back as it is
// read. See sysinfo(2), and SO_RCVBUF in socket(7).
func Room() int {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return roomLeast
	}
	return roomOf(uint64(info.Totalram) * uint64(info.Unit))
}

// roomMost doubled is what an int of the kernel holds, nearly.
const roomLeast, roomMost = 64 << 20, 1023 << 20

func roomOf(memory uint64) int { return int(min(max(memory/32, roomLeast), roomMost)) }
