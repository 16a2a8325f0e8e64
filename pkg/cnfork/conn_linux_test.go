// SPDX-License-Identifier: Apache-2.0

package cnfork

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"elsa/pkg/stream"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestReceive(t *testing.T) {
	fork, ack, ptrace := fixture(t, "fork"), fixture(t, "ack"), fixture(t, "ptrace")
	text := AppendFork(nil, Event{ParentPID: 1234, PID: 1240, Seq: 42})
	absurd := AppendProc(nil, Event{Kind: Fork, CPU: 1 << 31})
	for _, tt := range []struct {
		name     string
		source   Source
		m        stream.Message
		items    int
		rejected uint64
		counted  Kind
	}{
		{"fork", SourceProc, stream.Message{Data: fork, Kernel: true, Groups: 1}, 1, 0, Fork},
		{"acknowledgement", SourceProc, stream.Message{Data: ack, Kernel: true, Groups: 1}, 0, 0, Ack},
		{"unknown kind", SourceProc, stream.Message{Data: ptrace, Kernel: true, Groups: 1}, 0, 0, Other},
		{"from a process", SourceProc, stream.Message{Data: fork, Port: 4711, Groups: 1}, 0, 1, Kinds},
		{"to us alone", SourceProc, stream.Message{Data: fork, Kernel: true}, 0, 1, Kinds},
		{"to another group", SourceProc, stream.Message{Data: fork, Kernel: true, Groups: 1 << 11}, 0, 1, Kinds},
		{"truncated", SourceProc, stream.Message{Data: fork, Kernel: true, Groups: 1, Truncated: true}, 0, 1, Kinds},
		{"short", SourceProc, stream.Message{Data: fork[:75], Kernel: true, Groups: 1}, 0, 1, Kinds},
		{"no such cpu", SourceProc, stream.Message{Data: absurd, Kernel: true, Groups: 1}, 0, 1, Kinds},
		{"the other dialect", SourceProc, stream.Message{Data: text, Kernel: true, Groups: 1}, 0, 1, Kinds},
		{"text", SourceFork, stream.Message{Data: text, Kernel: true, Groups: 1 << 11}, 1, 0, Fork},
		{"text from a process", SourceFork, stream.Message{Data: text, Port: 4711, Groups: 1 << 11}, 0, 1, Kinds},
		{"text to another group", SourceFork, stream.Message{Data: text, Kernel: true, Groups: 1}, 0, 1, Kinds},
		{"proc event", SourceFork, stream.Message{Data: fork, Kernel: true, Groups: 1 << 11}, 0, 1, Kinds},
	} {
		c := &Conn{source: tt.source}
		var b stream.Batch[Event]
		c.receive(tt.m, &b)
		if len(b.Items) != tt.items || b.Rejected != tt.rejected || b.Lost != 0 {
			t.Errorf("%s: %d items, %d rejected, %d lost; want %d, %d, 0",
				tt.name, len(b.Items), b.Rejected, b.Lost, tt.items, tt.rejected)
		}
		var want [Kinds]uint64
		if tt.counted < Kinds {
			want[tt.counted] = 1
		}
		c.finish(&b)
		s := c.Stats()
		if diff := cmp.Diff(want, s.Events); diff != "" || s.Rejected != tt.rejected {
			t.Errorf("%s: rejected %d, counted (-want +got):\n%s", tt.name, s.Rejected, diff)
		}
	}
}

// A hole that the socket did not make is loss all the same, and each loss is
// reported once.
func TestGapCheck(t *testing.T) {
	type step struct {
		drops, missing int64
		want           uint64
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"nothing", []step{{0, 0, 0}, {0, 0, 0}}},
		{"drop, then its hole", []step{{5, 0, 0}, {0, 5, 0}}},
		{"drop and hole at once", []step{{5, 5, 0}, {3, 8, 0}}},
		{"no memory", []step{{0, 2, 2}, {0, 2, 0}, {0, 3, 1}}},
		{"both", []step{{5, 7, 2}, {1, 8, 0}, {1, 10, 1}}},
		{"late after all", []step{{0, 2, 2}, {0, 0, 0}, {0, 2, 0}, {0, 3, 1}}},
	} {
		var g gapCheck
		for i, s := range tt.steps {
			if got := g.beyond(s.drops, s.missing); got != s.want {
				t.Errorf("%s, step %d: %d more, want %d", tt.name, i, got, s.want)
			}
		}
	}
}

func TestExplain(t *testing.T) {
	initial := map[string]string{
		"/proc/self/ns/pid":  "pid:[4026531836]",
		"/proc/self/ns/user": "user:[4026531837]",
	}
	other := map[string]string{
		"/proc/self/ns/pid":  "pid:[4026531836]",
		"/proc/self/ns/user": "user:[4026532246]",
	}
	for _, tt := range []struct {
		name   string
		err    error
		source Source
		ns     map[string]string
		want   string
	}{
		{"no answer", errNoAck, SourceProc, initial, "no process connector: build it with CONFIG_CONNECTOR=y and CONFIG_PROC_EVENTS=y"},
		{"no protocol", os.NewSyscallError("socket", unix.EPROTONOSUPPORT), SourceProc, initial, "CONFIG_CONNECTOR=y"},
		{"no answer, no /proc", errNoAck, SourceProc, nil, "CONFIG_PROC_EVENTS=y"},
		{"no answer elsewhere", errNoAck, SourceProc, other, "not the initial user namespace"},
		{"refused", unix.ECONNREFUSED, SourceProc, initial, "not the initial net namespace"},
		{"not permitted", unix.EPERM, SourceFork, initial, "CAP_NET_ADMIN is missing: run as root"},
		{"no patch", errSilent, SourceFork, initial, "CONFIG_FORK_CONNECTOR=y"},
		{"silence", errSilent, SourceProc, initial, "does not report a fork"},
	} {
		err := fmt.Errorf("what failed: %w", tt.err)
		got := explain(err, tt.source, func(name string) (string, error) {
			if link, ok := tt.ns[name]; ok {
				return link, nil
			}
			return "", os.ErrNotExist
		})
		if !errors.Is(got, tt.err) || !strings.Contains(got.Error(), tt.want) {
			t.Errorf("%s: %q, want something of %q", tt.name, got, tt.want)
		}
	}
}
