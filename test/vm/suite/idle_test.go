// SPDX-License-Identifier: Apache-2.0

//go:build vm

package suite

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const tracing = "/sys/kernel/tracing/"

// countCalls counts how often the kernel enters each function while f runs, by
// a kprobe event on each and its profile.
func countCalls(t *testing.T, functions []string, f func()) map[string]int {
	t.Helper()
	write := func(name, text string, flag int) {
		t.Helper()
		fd, err := os.OpenFile(tracing+name, os.O_WRONLY|flag, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer fd.Close()
		if _, err := fd.WriteString(text); err != nil {
			t.Fatalf("write %q to %s: %v", text, name, err)
		}
	}
	for _, fn := range functions {
		write("kprobe_events", "p:elsa/"+fn+" "+fn+"\n", os.O_APPEND)
	}
	write("events/elsa/enable", "1", 0)
	f()
	write("events/elsa/enable", "0", 0)
	b, err := os.ReadFile(tracing + "kprobe_profile")
	if err != nil {
		t.Fatal(err)
	}
	write("kprobe_events", "", os.O_TRUNC)
	calls := make(map[string]int)
	for line := range strings.Lines(string(b)) {
		var name string
		var hits, missed int
		if _, err := fmt.Sscan(line, &name, &hits, &missed); err != nil {
			t.Fatalf("kprobe_profile: %q: %v", line, err)
		}
		calls[name] = hits + missed
	}
	for _, fn := range functions {
		if _, ok := calls[fn]; !ok {
			t.Fatalf("kprobe_profile has no %s:\n%s", fn, b)
		}
	}
	return calls
}

// While nobody listens, a fork asks and goes on: no message is built, none is
// sent. Sockets that joined nothing, that joined another group, and that left
// this one are nobody.
func TestForkNobodyListens(t *testing.T) {
	const n = 10000
	fd, err := join(1) // the process connector's; without LISTEN it is silent
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	listen(t, 1<<20).close()
	left := listen(t, 1<<20)
	if err := unix.SetsockoptInt(left.fd, unix.SOL_NETLINK, unix.NETLINK_DROP_MEMBERSHIP, groupFork); err != nil {
		t.Fatal(err)
	}
	forks := func() { storm{count: n}.run(t) }
	functions := []string{"cn_fork_connector", "cn_fork_send", "cn_netlink_send_mult"}
	idle := countCalls(t, functions, forks)
	if idle["cn_fork_connector"] < n {
		t.Errorf("%d forks asked, want %d or more", idle["cn_fork_connector"], n)
	}
	if idle["cn_fork_send"] != 0 || idle["cn_netlink_send_mult"] != 0 {
		t.Errorf("nobody listens, yet %d messages were built and %d sent", idle["cn_fork_send"], idle["cn_netlink_send_mult"])
	}
	listen(t, 64<<20)
	busy := countCalls(t, functions, forks)
	for _, fn := range functions {
		if busy[fn] < n {
			t.Errorf("with a listener %s was called %d times, want %d or more", fn, busy[fn], n)
		}
		figure(fmt.Sprintf("calls of %s in %d forks", fn, n), "%d idle, %d with a listener", idle[fn], busy[fn])
	}
}

// TestLatency measures; it fails only if it cannot. It runs on patched and
// unpatched kernels, and with a listener where there can be one.
func TestLatency(t *testing.T) {
	const n, warm = 5000, 500
	measure := func(name string) {
		_, children := storm{count: warm + n}.run(t)
		slices.SortFunc(children[warm:], func(a, b forked) int { return cmp.Compare(a.took, b.took) })
		at := func(percent int) float64 { return us(children[warm+(n-1)*percent/100].took) }
		figure("fork+exit us, "+name, "%.2f median, %.2f-%.2f 5-95%%, of %d", at(50), at(5), at(95), n)
	}
	measure("nobody listens")
	listen(t, 64<<20)
	measure("with a listener")
}

func us(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
