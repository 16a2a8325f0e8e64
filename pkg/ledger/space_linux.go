// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Space is how much room the accounting file's file system has, and when the
// kernel suspends accounting for lack of it. It looks only when a process ends,
// and at most as often as the third number of the sysctl kernel.acct says (30 s).
// What ends while accounting is suspended has no record. All in bytes.
type Space struct {
	Available uint64 // to unprivileged users, which is what the kernel looks at
	Suspend   uint64 // at or below this, accounting is suspended
	Resume    uint64 // at or above this, it goes on
}

// Low tells whether the kernel suspends accounting when it looks next, if it
// has not already. When it is false, but Available below Resume, accounting
// that was suspended stays so.
func (s Space) Low() bool { return s.Available <= s.Suspend }

// SpaceState returns the space of the file system that path is on.
func SpaceState(path string) (Space, error) {
	const sysctl = "/proc/sys/kernel/acct"
	b, err := os.ReadFile(sysctl)
	if err != nil {
		return Space{}, fmt.Errorf("read when accounting is suspended: %w", err)
	}
	f := strings.Fields(string(b))
	var percent [2]int64 // resume, suspend
	for i := range percent {
		if len(f) <= i {
			return Space{}, fmt.Errorf("read %s: %q", sysctl, b)
		}
		if percent[i], err = strconv.ParseInt(f[i], 10, 32); err != nil {
			return Space{}, fmt.Errorf("read %s: %w", sysctl, err)
		}
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return Space{}, fmt.Errorf("read the space at %s: %w", path, err)
	}
	block := uint64(fs.Bsize)
	// The kernel counts whole blocks.
	of := func(percent int64) uint64 { return fs.Blocks * uint64(max(percent, 0)) / 100 * block }
	return Space{Available: fs.Bavail * block, Suspend: of(percent[1]), Resume: of(percent[0])}, nil
}
