// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"
	"strings"

	"golang.org/x/sys/unix"
)

// warnHidden says so when other users' processes hide their I/O from us while
// they live. What else takes capabilities is refused, or said, where it fails.
func warnHidden(log *slog.Logger) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData // 64 bits in two halves
	if err := unix.Capget(&header, &have[0]); err != nil {
		return
	}
	var missing []string
	for _, c := range []struct {
		name string
		bit  uint
	}{
		{"CAP_SYS_PTRACE", unix.CAP_SYS_PTRACE},
		{"CAP_DAC_READ_SEARCH", unix.CAP_DAC_READ_SEARCH}, // /proc/PID/io is 0400
	} {
		if have[0].Effective&(1<<c.bit) == 0 {
			missing = append(missing, c.name)
		}
	}
	if len(missing) > 0 {
		log.Warn("no I/O of other users' processes while they live: run as root or with " + strings.Join(missing, " and "))
	}
}
