// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"time"

	"elsa/pkg/clock"
)

// ErrFormat is wrapped by the errors about a file of /proc that is not as
// proc(5) says.
var ErrFormat = errors.New("unexpected format")

// statFields is how many fields after the command name [parseStat] needs: up
// to field 22, starttime.
const statFields = 20

// parseStat reads the line of /proc/PID/stat (fs/proc/array.c: do_task_stat)
// into p. UID becomes unknown. On error p is zero.
//
// The command name is not escaped and may hold anything but NUL, so the name
// ends at the last closing parenthesis of the line: only numbers follow it.
func parseStat(line []byte, p *Process) error {
	*p = Process{}
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 2 || end < open || line[open-1] != ' ' {
		return fmt.Errorf("parse stat: %w: no command name", ErrFormat)
	}
	pid, ok := parseInt(line[:open-1])
	if !ok || pid <= 0 || pid > math.MaxInt32 {
		return fmt.Errorf("parse stat: %w: bad pid", ErrFormat)
	}

	rest := line[end+1:]
	if len(rest) < 4 || rest[0] != ' ' || rest[2] != ' ' {
		return fmt.Errorf("parse stat: %w: no state", ErrFormat)
	}
	state := rest[1]
	rest = rest[3:]
	var f [statFields]int64 // f[0], the state, is a letter
	for i := 1; i < statFields; i++ {
		field, tail, _ := bytes.Cut(rest, space)
		rest = tail
		if f[i], ok = parseInt(field); !ok {
			return fmt.Errorf("parse stat: %w: field %d is no number", ErrFormat, i+3)
		}
	}
	for _, i := range [...]int{1, 2, 3, 17} {
		if f[i] < math.MinInt32 || f[i] > math.MaxInt32 {
			return fmt.Errorf("parse stat: %w: field %d is too large", ErrFormat, i+3)
		}
	}
	for _, i := range [...]int{11, 12, 19} { // ticks
		if f[i] < 0 || f[i] > math.MaxInt64/int64(tick) {
			return fmt.Errorf("parse stat: %w: field %d is out of range", ErrFormat, i+3)
		}
	}
	start := clock.At(clock.Boot(f[19])*clock.Boot(tick), clock.Tick)
	if start.Boot() != clock.Boot(f[19])*clock.Boot(tick) {
		return fmt.Errorf("parse stat: %w: field 22 is out of range", ErrFormat)
	}
	if f[7] < 0 || f[9] < 0 {
		return fmt.Errorf("parse stat: %w: negative page faults", ErrFormat)
	}

	*p = Process{
		PID: int32(pid), State: state, Exiting: f[6]&exiting != 0, UID: UnknownUID,
		PPID: int32(f[1]), Group: int32(f[2]), Session: int32(f[3]),
		MinorFaults: uint64(f[7]), MajorFaults: uint64(f[9]),
		User: time.Duration(f[11]) * tick, System: time.Duration(f[12]) * tick,
		Threads: int32(f[17]), Start: start,
	}
	// Kernel threads show longer names here than anywhere else; what the
	// accounting record carries has 15 bytes.
	copy(p.Comm[:len(p.Comm)-1], line[open+1:end])
	return nil
}

// ofChildren returns a number that rises whenever the process of a line of
// /proc/PID/stat, which parseStat took, waits for a child, and is 0 before: the kernel
// adds a child's faults and CPU time (fields 11, 13, 16 and 17) to its parent's
// together with its I/O (kernel/exit.c, wait_task_zombie), and no process runs
// without a fault.
func ofChildren(line []byte) (sum uint64) {
	rest := line[bytes.LastIndexByte(line, ')')+2:]
	for i := range 15 { // the first is field 3
		var field []byte
		field, rest, _ = bytes.Cut(rest, space)
		switch i {
		case 8, 10, 13, 14:
			n, _ := parseUint(field)
			sum += n
		}
	}
	return sum
}

// exiting is PF_EXITING of include/linux/sched.h.
const exiting = 0x4

var space = []byte{' '}

// parseInt reads a decimal number that fills b, with a sign if negative.
func parseInt(b []byte) (int64, bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	n, ok := parseUint(b)
	if !ok || n > math.MaxInt64 {
		return 0, false
	}
	if negative {
		return -int64(n), true
	}
	return int64(n), true
}

// parseUint reads a decimal number that fills b.
func parseUint(b []byte) (uint64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// value finds the line "key:<blanks>value" of a file such as /proc/PID/status
// and returns its value, or nil. The kernel escapes newlines in these files.
func value(text []byte, key string) []byte {
	for len(text) > 0 {
		line, tail, _ := bytes.Cut(text, newline)
		text = tail
		if len(line) > len(key) && line[len(key)] == ':' && string(line[:len(key)]) == key {
			return bytes.TrimSpace(line[len(key)+1:])
		}
	}
	return nil
}

// number reads the first number of the line called key.
func number(text []byte, key string) (uint64, error) {
	v := value(text, key)
	if i := bytes.IndexAny(v, " \t"); i >= 0 {
		v = v[:i]
	}
	n, ok := parseUint(v)
	if !ok {
		return 0, fmt.Errorf("parse %s: %w: want a number, have %.40q", key, ErrFormat, v)
	}
	return n, nil
}

var newline = []byte{'\n'}
