// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"os"
	"runtime"
	"strconv"
	"strings"
)

// CPUs returns how many CPUs of the machine are online, by
// /sys/devices/system/cpu/online (Documentation/admin-guide/cputopology.rst). Where
// that cannot be read it is those that this process may use.
func CPUs() int {
	text, err := os.ReadFile("/sys/devices/system/cpu/online")
	if n := countList(strings.TrimSpace(string(text))); err == nil && n > 0 {
		return n
	}
	return runtime.NumCPU()
}

// countList counts the numbers of a list like 0-3,5; 0 if it is none.
func countList(list string) (n int) {
	for part := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		from, err1 := strconv.Atoi(low)
		to, err2 := strconv.Atoi(high)
		if err1 != nil || err2 != nil || from < 0 || to < from {
			return 0
		}
		n += to - from + 1
	}
	return n
}
