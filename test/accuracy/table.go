// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// row is one workload: the truth, and what each instrument says.
type row struct {
	name     string
	truth    reading
	readings []reading
}

func (r *row) add(other row) {
	r.truth.add(other.truth)
	if r.readings == nil {
		r.readings = make([]reading, len(other.readings))
	}
	for i := range r.readings {
		r.readings[i].add(other.readings[i])
	}
}

func (r *reading) add(s reading) {
	r.cpu += s.cpu
	r.processes += s.processes
	r.exact += s.exact
	r.sampled += s.sampled
	r.rounded += s.rounded
}

// bias is how much more than the truth an instrument says, in percent.
func (r *row) bias(i int) float64 {
	return 100 * float64(r.readings[i].cpu-r.truth.cpu) / float64(r.truth.cpu)
}

type table struct {
	instruments []instrument
	rows        []row
}

// print writes the table in Markdown.
func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "CPU time on %s, %d CPUs: the control group's own count, and how far from it each is in the same run.\n\n", kernel(), runtime.NumCPU())
	fmt.Fprint(w, "| workload | processes | CPU, truth |")
	for _, i := range t.instruments {
		fmt.Fprintf(w, " %s |", i.name())
	}
	fmt.Fprintf(w, "\n|---|--:|--:|%s\n", strings.Repeat("--:|", len(t.instruments)))
	for _, r := range t.rows {
		fmt.Fprintf(w, "| %s | %d | %.3f s |", r.name, r.truth.processes, r.truth.cpu.Seconds())
		for i, got := range r.readings {
			fmt.Fprintf(w, " %s", percent(r.bias(i)))
			if got.processes >= 0 && got.processes != r.truth.processes {
				fmt.Fprintf(w, " (%d processes)", got.processes)
			}
			fmt.Fprint(w, " |")
		}
		fmt.Fprintln(w)
	}
}

// percent prints a bias with its sign: "+0.03 %", "−98.2 %".
func percent(p float64) string {
	s := fmt.Sprintf("%+.2f %%", p)
	if p <= -10 || p >= 10 {
		s = fmt.Sprintf("%+.1f %%", p)
	}
	return strings.Replace(s, "-", "−", 1)
}

// check says where the first instrument, elsad as it is used, is off: by more
// than the tolerance, or by a process.
func (t *table) check(tolerance float64) error {
	var errs []error
	for _, r := range t.rows {
		allowed := tolerance
		if r.truth.cpu < time.Second {
			allowed *= 2
		}
		if b := r.bias(0); b > allowed || b < -allowed {
			errs = append(errs, fmt.Errorf("%s: %s is more than %v %% off", r.name, percent(b), allowed))
		}
		for i, got := range r.readings {
			if got.processes >= 0 && got.processes != r.truth.processes {
				errs = append(errs, fmt.Errorf("%s: %s counts %d processes, %d ended", r.name, t.instruments[i].name(), got.processes, r.truth.processes))
			}
		}
	}
	return errors.Join(errs...)
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "an unknown kernel"
	}
	release, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
	return unix.ByteSliceToString(u.Sysname[:]) + " " + release
}
