// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"elsa/internal/kerneltest"
	"elsa/internal/store"
	"elsa/pkg/cnfork"
	"elsa/pkg/stream"
)

func need(t *testing.T) {
	t.Helper()
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.ProcEvents, kerneltest.BTF, kerneltest.BPF)
}

// closeAll closes what was opened, which is not run.
func closeAll(t *testing.T, o Opened) {
	t.Helper()
	if err := o.Close(); err != nil {
		t.Error(err)
	}
	if o.Ring != nil {
		if err := o.Ring.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestKernelAuto opens the best source of this kernel, and each by its name.
func TestKernelAuto(t *testing.T) {
	need(t)
	auto := cnfork.SourceBPF
	if kerneltest.ForkConnector.Probe() == nil {
		auto = cnfork.SourceFork
	}
	for ask, want := range map[cnfork.Source]cnfork.Source{
		cnfork.SourceAuto: auto, cnfork.SourceBPF: cnfork.SourceBPF, cnfork.SourceProc: cnfork.SourceProc,
	} {
		for _, exact := range []Mode{Auto, On, Off} {
			f, err := Open(t.Context(), Options{Source: ask, Exact: exact, Buffer: 1 << 20})
			if err != nil {
				t.Errorf("%v: %v", ask, err)
				continue
			}
			if f.Source() != want || f.Resumed || (f.Exact == nil) != (exact == Off) || f.Refused != nil {
				t.Errorf("%v with exact %v is %v, exact %v (resumed %v, refused %v), want %v", ask, exact, f.Source(), f.Exact != nil, f.Resumed, f.Refused, want)
			}
			if rings := want == cnfork.SourceBPF || exact != Off; (f.Ring != nil) != rings {
				t.Errorf("%v with exact %v: a ring is %v, want %v", ask, exact, f.Ring != nil, rings)
			}
			if passed := ask == cnfork.SourceAuto && want != cnfork.SourceFork; (f.Passed != nil) != passed {
				t.Errorf("%v passed over: %v", ask, f.Passed)
			}
			closeAll(t, f)
		}
	}
}

// A connector that goes on is taken before a new one of its source.
func TestKernelConnector(t *testing.T) {
	need(t)
	kept, err := Open(t.Context(), Options{Source: cnfork.SourceProc, Exact: Off, Buffer: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	resume := func(s cnfork.Source) Feed {
		if s == cnfork.SourceProc {
			return kept.Feed
		}
		return nil
	}
	f, err := Open(t.Context(), Options{Source: cnfork.SourceProc, Exact: Off, Buffer: 1 << 20, Connector: resume})
	if err != nil || !f.Resumed || f.Feed != kept.Feed {
		t.Errorf("%+v, %v: want what was kept", f, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, Options{Source: cnfork.SourceAuto, Buffer: 1 << 20}); !errors.Is(err, context.Canceled) {
		t.Errorf("of a context that is done: %v", err)
	}
}

// A ring that was kept is gone on with by the same flags, with events or without; by
// others, or where it is not known how far it was read, it is closed and said.
func TestKernelKept(t *testing.T) {
	need(t)
	at := func(o Opened, events, releases bool) *store.Ring {
		r := &store.Ring{ID: o.Ring.ID()}
		if events {
			r.Events = &stream.Cursor{}
		}
		if releases {
			r.Releases = &stream.Cursor{}
		}
		return r
	}
	for _, tt := range []struct {
		name          string
		first, second Options
		at            func(Opened) *store.Ring
		resumed       bool
	}{
		{"both", Options{Source: cnfork.SourceBPF, Exact: On}, Options{Source: cnfork.SourceAuto, Exact: On},
			func(o Opened) *store.Ring { return at(o, true, true) }, true},
		{"events", Options{Source: cnfork.SourceBPF, Exact: Off}, Options{Source: cnfork.SourceBPF, Exact: Off},
			func(o Opened) *store.Ring { return at(o, true, false) }, true},
		{"releases", Options{Source: cnfork.SourceProc, Exact: On}, Options{Source: cnfork.SourceProc, Exact: On},
			func(o Opened) *store.Ring { return at(o, false, true) }, true},
		{"events in doubt", Options{Source: cnfork.SourceBPF, Exact: On}, Options{Source: cnfork.SourceBPF, Exact: On},
			func(o Opened) *store.Ring { return at(o, false, true) }, false},
		{"other flags", Options{Source: cnfork.SourceBPF, Exact: On}, Options{Source: cnfork.SourceBPF, Exact: Off},
			func(o Opened) *store.Ring { return at(o, true, true) }, false},
		{"another source", Options{Source: cnfork.SourceBPF, Exact: On}, Options{Source: cnfork.SourceProc, Exact: On},
			func(o Opened) *store.Ring { return at(o, true, true) }, false},
		{"another ring", Options{Source: cnfork.SourceBPF, Exact: On}, Options{Source: cnfork.SourceBPF, Exact: On},
			func(o Opened) *store.Ring { r := at(o, true, true); r.ID++; return r }, false},
		{"no database", Options{Source: cnfork.SourceBPF, Exact: On}, Options{Source: cnfork.SourceBPF, Exact: On},
			func(Opened) *store.Ring { return nil }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.first.Buffer, tt.second.Buffer = 1<<20, 1<<20
			first, err := Open(t.Context(), tt.first)
			if err != nil {
				t.Fatal(err)
			}
			h, err := first.Ring.Handles()
			if err != nil {
				t.Fatal(err)
			}
			fds := slices.Collect(maps.Values(h))
			tt.second.Kept = Kept{Handles: h, At: tt.at(first)}
			closeAll(t, first)
			var unfit error
			tt.second.Kept.Unfit = func(err error) { unfit = err }
			second, err := Open(t.Context(), tt.second)
			if err != nil {
				t.Fatal(err)
			}
			events := second.Source() == cnfork.SourceBPF
			if second.Resumed != (tt.resumed && events) || second.ExactResumed != (tt.resumed && second.Exact != nil) || (unfit == nil) != tt.resumed {
				t.Errorf("resumed %v, exact %v: %v; want %v", second.Resumed, second.ExactResumed, unfit, tt.resumed)
			}
			closeAll(t, second)
			for _, fd := range fds {
				if target, err := os.Readlink(fmt.Sprint("/proc/self/fd/", fd)); err == nil && strings.Contains(target, "bpf") {
					t.Errorf("descriptor %d is open: %s", fd, target)
				}
			}
		})
	}
}
