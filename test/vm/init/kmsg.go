// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// report matches the lines with which the kernel complains about itself:
// warnings, oopses, lockdep, sleeping while atomic, RCU use and stalls, hung
// tasks, list corruption.
var report = regexp.MustCompile(`WARNING: |BUG: |BUG!|Oops|INFO: .*(lock|stall|task|trying)|possible .* (deadlock|dependency|recursion)|suspicious RCU|list_(add|del) corruption|UBSAN|KASAN`)

// kernelReports reads the whole kernel log. It fails when its beginning is
// gone, and when lockdep, if built in, has switched itself off.
func kernelReports() ([]string, error) {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open the kernel log: %w", err)
	}
	defer unix.Close(fd)
	var reports []string
	buf := make([]byte, 8192)
	for first := true; ; first = false {
		n, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the kernel log: %w", err) // EPIPE: records were overwritten
		}
		// "priority,sequence,timestamp,flags;text", then lines of properties
		head, text, _ := strings.Cut(string(buf[:n]), ";")
		if fields := strings.Split(head, ","); first && (len(fields) < 2 || fields[1] != "0") {
			return nil, fmt.Errorf("the kernel log starts at %q: enlarge CONFIG_LOG_BUF_SHIFT", head)
		}
		text, _, _ = strings.Cut(text, "\n")
		if report.MatchString(text) {
			reports = append(reports, text)
		}
	}
	if b, err := os.ReadFile("/proc/lockdep_stats"); err == nil {
		if !regexp.MustCompile(`debug_locks:\s+1\n`).Match(b) {
			return nil, errors.New("lockdep switched itself off")
		}
		fmt.Println("lockdep is on and has nothing to report")
	}
	return reports, nil
}
