// SPDX-License-Identifier: Apache-2.0

//go:build fault

package fault

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Enabled tells whether the points do anything.
const Enabled = true

// action is what happens at a point.
type action struct {
	kill        bool
	first, last uint64 // passes, from 1
}

var (
	mu      sync.Mutex
	passes  = map[string]uint64{}
	actions = must(parseActions(os.Getenv("ELSA_FAULT")))
	sizes   = must(parseSizes(os.Getenv("ELSA_FAULT_SIZES")))
)

// Point is where a test may end the process or make a step fail.
func Point(name string) error {
	mu.Lock()
	defer mu.Unlock()
	passes[name]++
	a, ok := actions[name]
	switch n := passes[name]; {
	case !ok, n < a.first, n > a.last:
		return nil
	case a.kill:
		// Nothing runs after this: no deferred call, no flush.
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return fmt.Errorf("fault at %s: %w", name, syscall.ENOSPC)
}

// Size returns what a test set, or else def.
func Size(name string, def int64) int64 {
	if n, ok := sizes[name]; ok {
		return n
	}
	return def
}

func must[T any](v T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return v
}

func parseActions(text string) (map[string]action, error) {
	m := map[string]action{}
	for name, value := range fields(text) {
		what, pass, _ := strings.Cut(value, "@")
		what, count, limited := strings.Cut(what, ":")
		first, err := strconv.ParseUint(pass, 10, 64)
		if err != nil || first == 0 {
			return nil, fmt.Errorf("bad ELSA_FAULT: %s=%s: pass %q", name, value, pass)
		}
		a := action{kill: what == "kill", first: first, last: ^uint64(0)}
		if limited {
			n, err := strconv.ParseUint(count, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("bad ELSA_FAULT: %s=%s: count %q", name, value, count)
			}
			a.last = first + n - 1
		}
		if what != "kill" && what != "enospc" {
			return nil, fmt.Errorf("bad ELSA_FAULT: %s=%s: use kill or enospc", name, value)
		}
		m[name] = a
	}
	for name := range m {
		if !slices.Contains(slices.Concat(Points, JournalPoints, ArchivePoints, ShipPoints, FillPoints), name) {
			return nil, fmt.Errorf("bad ELSA_FAULT: no point %s", name)
		}
	}
	return m, nil
}

func parseSizes(text string) (map[string]int64, error) {
	m := map[string]int64{}
	for name, value := range fields(text) {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("bad ELSA_FAULT_SIZES: %s=%s", name, value)
		}
		m[name] = n
	}
	return m, nil
}

func fields(text string) map[string]string {
	m := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		if name, value, ok := strings.Cut(part, "="); ok {
			m[name] = value
		}
	}
	return m
}
