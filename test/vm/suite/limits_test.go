// SPDX-License-Identifier: Apache-2.0

//go:build vm

package suite

import (
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
)

// A listener that does not read loses messages and can tell how many: what it
// got and what the numbers lack is what was forked.
func TestForkLossIsCounted(t *testing.T) {
	const total = 5000
	small, big := listen(t, 64<<10), listen(t, 64<<20)
	storm{count: total}.run(t)
	got := small.drain()
	// The loss is at the end; one more message shows it.
	last, err := kerneltest.Fork()
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, small.drain()...)
	all := big.drain()
	for i, ev := range all {
		if ev.child == last {
			all = all[:i+1]
			break
		}
	}
	for len(all) > 0 && all[0].seq != got[0].seq {
		all = all[1:]
	}
	if len(got) == 0 || got[len(got)-1].child != last {
		t.Fatalf("%d events, the last is not of pid %d", len(got), last)
	}
	n := lost(t, got)
	if n == 0 {
		t.Error("nothing was lost: the buffer is not small enough")
	}
	if len(got)+n != len(all) {
		t.Errorf("%d received and %d missing, of %d", len(got), n, len(all))
	}
	figure("overrun", "%d received + %d counted as missing, %d sent", len(got), n, len(all))
}

// Listening takes CAP_NET_ADMIN in the initial user namespace, the initial pid
// namespace and the initial network namespace.
func TestForkMayListen(t *testing.T) {
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}
	for _, tt := range []struct {
		name string
		attr syscall.SysProcAttr
		want string
	}{
		{"root", syscall.SysProcAttr{}, "joined"},
		{"nobody", syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}, "EPERM"},
		{"pid namespace", syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}, "EPERM"},
		{"user namespace", syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids}, "EPERM"},
		{"net namespace", syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}, "EPERM"},
		{"user and net namespace", syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET, UidMappings: ids, GidMappings: ids}, "EPERM"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := kerneltest.Command("join")
			cmd.SysProcAttr = &tt.attr
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			want := []string{tt.want, tt.want}
			if diff := cmp.Diff(want, strings.Fields(string(out))); diff != "" {
				t.Errorf("by setsockopt and by bind (-want +got)\n%s", diff)
			}
		})
	}
}

// Pids are those of the initial namespace wherever the fork happens.
func TestForkInPidNamespace(t *testing.T) {
	const n = 5
	l := listen(t, 1<<20)
	cmd := kerneltest.Command("storm", strconv.Itoa(n))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	out, err := cmd.Output() // the children's pids as their parent sees them
	if err != nil {
		t.Fatal(err)
	}
	outer := cmd.Process.Pid
	var inner []string
	tasks := map[int]bool{} // of the namespace
	for _, ev := range l.drain() {
		switch {
		case ev.child == outer:
			tasks[ev.child] = true
		case tasks[ev.forker]:
			tasks[ev.child] = true
			inner = append(inner, strconv.Itoa(ev.child))
		}
	}
	told := strings.Fields(string(out))
	if len(told) != n {
		t.Fatalf("%d children, want %d", len(told), n)
	}
	// Its threads come with it.
	if len(inner) < n {
		t.Errorf("%d tasks below %d, want %d or more", len(inner), outer, n)
	}
	for _, pid := range inner {
		if slices.Contains(told, pid) {
			t.Errorf("pid %s is that of the inner namespace", pid)
		}
	}
}
