// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bytes"
	"fmt"
	"os"
	"time"
)

// MachineTime is what the CPUs of the machine did since boot, all together, by the
// first line of /proc/stat (proc_stat(5)), in steps of 10 ms.
type MachineTime struct {
	// Ran is how long tasks ran, those of virtual machines and of the kernel included,
	// and interrupts not, as the tick has sampled it.
	Ran time.Duration
	// Idle is how long there was nothing to run. A kernel that stops the tick of an idle
	// CPU measures it (kernel/time/tick-sched.c: get_cpu_idle_time_us).
	Idle time.Duration
}

// MachineTime reads it.
func (r FS) MachineTime() (m MachineTime, err error) {
	text, err := os.ReadFile(string(r) + "/stat")
	if err != nil {
		return m, fmt.Errorf("read CPU time of the machine: %w", err)
	}
	line, _, _ := bytes.Cut(text, newline)
	fields := bytes.Fields(line) // cpu user nice system idle iowait irq softirq …
	if len(fields) < 6 || string(fields[0]) != "cpu" {
		return m, fmt.Errorf("read CPU time of the machine: %w: %s/stat has no line \"cpu …\" first", ErrFormat, string(r))
	}
	for i, sum := range []*time.Duration{&m.Ran, &m.Ran, &m.Ran, &m.Idle, &m.Idle} {
		n, ok := parseUint(fields[i+1])
		if !ok {
			return m, fmt.Errorf("read CPU time of the machine: %w: %q", ErrFormat, line)
		}
		*sum += time.Duration(n) * (time.Second / 100) // USER_HZ
	}
	return m, nil
}

// RunTime is how long the threads of a live process ran, as the scheduler has measured
// it, dead ones included. It waits for nothing. It is 0 if there is no such process.
func RunTime(pid int32) time.Duration {
	d, err := cpuClock(pid, clockSched)
	if err != nil {
		return 0
	}
	return d
}
