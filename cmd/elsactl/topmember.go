// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"elsa/internal/escape"

	"golang.org/x/sys/unix"

	"elsa/pkg/client"
	"elsa/pkg/proc"
)

// topMember is a live process of a group.
type topMember struct {
	client.Member
	percent float64
	local   topLocal
	// branch is what is drawn before the command in the tree.
	branch string
}

// topLocal is what is seen of a process from here.
type topLocal struct {
	// process is zero if it cannot be seen from here: it has ended, or this is another
	// pid namespace than the service's.
	process proc.Process
	rss     uint64
	// args is its command line, empty if it has none.
	args string
}

// topKey tells processes apart.
type topKey struct {
	pid     int
	started int64
}

func keyOf(m *client.Member) topKey { return topKey{m.PID, m.Started.UnixNano()} }

// command is what the process is called: its command line, or only its name.
func (m *topMember) command(args bool) string {
	if args && m.local.args != "" {
		return escape.Text(m.local.args)
	}
	return escape.Text(m.Command)
}

// near is how far apart the service and elsactl, which both know the start to a
// hundredth of a second, may see it by the wall clock.
const near = 50 * time.Millisecond

// nearby reads processes. It is for as long as the program runs.
var nearby = sync.OnceValue(func() *proc.Bounded { return proc.NewBounded(proc.Default) })

// lookAt reads what is seen here of a process that the service told of.
func lookAt(m *client.Member) topLocal {
	r := new(topLocal) // not read if the look is late
	err := nearby().Look(int32(m.PID), func() {
		p, err := proc.Default.Process(int32(m.PID))
		if err != nil || p.Start.Boot().Wall(proc.Booted()).Time().Sub(m.Started).Abs() > near {
			return
		}
		*r = topLocal{process: p, rss: resident(m.PID), args: commandLine(m.PID)}
	})
	if err != nil {
		return topLocal{}
	}
	return *r
}

// resident is the resident set of a live process, in bytes.
func resident(pid int) uint64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	var size, pages uint64
	fmt.Sscan(string(b), &size, &pages)
	return pages * uint64(os.Getpagesize())
}

// maxArgs bounds what is read of a command line, in bytes.
const maxArgs = 4096

// commandLine is the command line of a live process, as far as it is bounded.
func commandLine(pid int) string {
	f, err := os.Open(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	defer f.Close()
	text := make([]byte, maxArgs)
	n, _ := f.Read(text)
	return strings.ToValidUTF8(strings.ReplaceAll(strings.TrimRight(string(text[:n]), "\x00"), "\x00", " "), "\uFFFD")
}

// newMembers computes what members did since another look, seconds ago, on a machine
// of some CPUs, and looks at each.
func newMembers(before, now []client.Member, elapsed float64, cpus int, look func(*client.Member) topLocal) []topMember {
	old := map[topKey]float64{}
	for i := range before {
		old[keyOf(&before[i])] = before[i].CPUSeconds
	}
	members := make([]topMember, len(now))
	for i := range now {
		m := &now[i]
		members[i] = topMember{Member: *m, local: look(m)}
		if was, known := old[keyOf(m)]; known && elapsed > 0 {
			members[i].percent = atMost(cpus, 100*max(m.CPUSeconds-was, 0)/elapsed)
		}
	}
	return members
}

// memberOrders are the keys that sort processes.
var memberOrders = map[string]struct {
	name    string
	compare func(a, b *topMember) int
}{
	"c": {"cpu", func(a, b *topMember) int {
		return cmp.Or(cmp.Compare(b.percent, a.percent), cmp.Compare(b.CPUSeconds, a.CPUSeconds))
	}},
	"t": {"time", func(a, b *topMember) int { return cmp.Compare(b.CPUSeconds, a.CPUSeconds) }},
	"m": {"memory", func(a, b *topMember) int { return cmp.Compare(b.local.rss, a.local.rss) }},
	"n": {"name", func(a, b *topMember) int { return strings.Compare(a.Command, b.Command) }},
	"p": {"pid", func(a, b *topMember) int { return cmp.Compare(a.PID, b.PID) }},
}

// sortMembers orders processes by a key of memberOrders, as a tree if that is asked for.
func sortMembers(ms []topMember, by string, reverse, tree bool) []topMember {
	compare := memberOrders[by].compare
	slices.SortFunc(ms, func(a, b topMember) int {
		d := cmp.Or(compare(&a, &b), cmp.Compare(a.PID, b.PID))
		if reverse {
			return -d
		}
		return d
	})
	for i := range ms {
		ms[i].branch = ""
	}
	if tree {
		return asTree(ms)
	}
	return ms
}

// maxIndent bounds how deep a tree is drawn.
const maxIndent = 24

// asTree puts processes below their parents, in order among those of one parent.
func asTree(ms []topMember) []topMember {
	at := make(map[int]int, len(ms))
	for i := range ms {
		at[ms[i].PID] = i
	}
	children := make(map[int][]int, len(ms)) // by the place of the parent
	var roots []int
	for i := range ms {
		if p, known := at[ms[i].PPID]; known && p != i {
			children[p] = append(children[p], i)
		} else {
			roots = append(roots, i)
		}
	}
	type node struct {
		at     int
		indent string
		stem   string // before its children
	}
	out := make([]topMember, 0, len(ms))
	seen := make([]bool, len(ms))
	var stack []node
	walk := func(root int) {
		stack = append(stack[:0], node{at: root})
		for len(stack) > 0 {
			n := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if seen[n.at] {
				continue
			}
			seen[n.at] = true
			m := ms[n.at]
			m.branch = n.indent
			out = append(out, m)
			kids := children[n.at]
			for i := len(kids) - 1; i >= 0; i-- {
				branch, stem := n.stem+"├ ", n.stem+"│ "
				if i == len(kids)-1 {
					branch, stem = n.stem+"└ ", n.stem+"  "
				}
				if len([]rune(stem)) > maxIndent {
					stem = n.stem
				}
				stack = append(stack, node{kids[i], branch, stem})
			}
		}
	}
	for _, r := range roots {
		walk(r)
	}
	for i := range ms {
		if !seen[i] { // parents that were read one after the other can form a ring
			walk(i)
		}
	}
	return out
}

// topSignals are those that can be sent, by their key.
var topSignals = []struct {
	key, name string
	number    unix.Signal
}{
	{"t", "TERM", unix.SIGTERM}, {"i", "INT", unix.SIGINT}, {"h", "HUP", unix.SIGHUP},
	{"k", "KILL", unix.SIGKILL}, {"s", "STOP", unix.SIGSTOP}, {"c", "CONT", unix.SIGCONT},
}

// signal sends a signal to the process that was shown, and never to another that has
// its pid by now: what is held open cannot change while its start is compared.
func (m *topMember) signal(number unix.Signal) error {
	if !m.local.process.Start.Known() {
		return fmt.Errorf("signal process %d: it cannot be seen from here", m.PID)
	}
	fd, err := unix.PidfdOpen(m.PID, 0)
	if err == unix.ESRCH {
		return fmt.Errorf("signal process %d: it has ended", m.PID)
	}
	if err != nil {
		return fmt.Errorf("signal process %d: %w", m.PID, err)
	}
	defer unix.Close(fd)
	if p, err := nearby().Process(int32(m.PID)); err != nil || p.Start != m.local.process.Start {
		return fmt.Errorf("signal process %d: it has ended", m.PID)
	}
	if err := unix.PidfdSendSignal(fd, number, nil, 0); err != nil {
		return fmt.Errorf("signal process %d: %w", m.PID, err)
	}
	return nil
}
