// SPDX-License-Identifier: Apache-2.0

package feed

import (
	"context"
	"errors"
	"testing"

	"elsa/internal/kerneltest"
	"elsa/pkg/cnfork"
)

// TestKernelAuto opens the best source of this kernel, and each by its name.
func TestKernelAuto(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.ProcEvents, kerneltest.BTF, kerneltest.BPF)
	auto := cnfork.SourceProc
	if kerneltest.ForkConnector.Probe() == nil {
		auto = cnfork.SourceFork
	}
	for ask, want := range map[cnfork.Source]cnfork.Source{
		cnfork.SourceAuto: auto, cnfork.SourceBPF: cnfork.SourceBPF, cnfork.SourceProc: cnfork.SourceProc,
	} {
		f, err := Open(t.Context(), Options{Source: ask, Buffer: 1 << 20})
		if err != nil {
			t.Errorf("%v: %v", ask, err)
			continue
		}
		if f.Source() != want || f.Resumed {
			t.Errorf("%v is %v (resumed %v), want %v", ask, f.Source(), f.Resumed, want)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A stream that goes on is taken before a new one of its source, and after a better
// one.
func TestKernelResume(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.ProcEvents, kerneltest.BTF, kerneltest.BPF)
	kept, err := Open(t.Context(), Options{Source: cnfork.SourceProc, Buffer: 1 << 20})
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
	f, err := Open(t.Context(), Options{Source: cnfork.SourceProc, Buffer: 1 << 20, Resume: resume})
	if err != nil || !f.Resumed || f.Feed != kept.Feed {
		t.Errorf("%+v, %v: want what was kept", f, err)
	}
	f, err = Open(t.Context(), Options{Source: cnfork.SourceAuto, Buffer: 1 << 20, Resume: resume})
	if err != nil {
		t.Fatal(err)
	}
	if f.Source() == cnfork.SourceProc && !f.Resumed {
		t.Error("auto did not go on with what was kept")
	}
	f.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, Options{Source: cnfork.SourceAuto, Buffer: 1 << 20}); !errors.Is(err, context.Canceled) {
		t.Errorf("of a context that is done: %v", err)
	}
}
