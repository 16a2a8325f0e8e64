// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"testing"

	"golang.org/x/sync/errgroup"

	"elsa/internal/kerneltest"
	"elsa/pkg/cnfork"
)

func TestMain(m *testing.M) { kerneltest.Main(m, nil) }

// TestKernelReopen subscribes anew, as after a silence. The kernel acknowledges the new
// LISTEN to all who listen, and nothing is taken back: up to Linux 6.5 an IGNORE would
// be counted against the new subscription. At the end it is taken back, once.
func TestKernelReopen(t *testing.T) {
	kerneltest.Need(t, kerneltest.Root, kerneltest.InitNamespaces, kerneltest.ProcEvents)
	dial := func() *cnfork.Conn {
		t.Helper()
		c, err := cnfork.Dial(t.Context(), cnfork.Config{Source: cnfork.SourceProc, Buffer: 8 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ctx, cancel := context.WithCancel(t.Context())
	g, ctx := errgroup.WithContext(ctx)
	tap := dial()
	var mark uint64
	g.Go(func() error { return tap.Run(ctx) })
	acks := func() uint64 {
		t.Helper()
		mark++
		tap.Mark(mark)
		for b := range tap.Batches() {
			done := b.Barrier >= mark
			tap.Release(b)
			if done {
				break
			}
		}
		return tap.Stats().Events[cnfork.Ack]
	}
	first := dial()
	s := &sources{events: first, buffer: 8 << 20}
	s.run(g, ctx)
	skim := func(c *cnfork.Conn) {
		go func() {
			for b := range c.Batches() {
				c.Release(b)
			}
		}()
	}
	skim(first)
	before := acks()
	if _, err := s.Reopen(); err != nil {
		t.Fatal(err)
	}
	again := s.events.(*cnfork.Conn)
	skim(again)
	if n := acks() - before; n != 1 {
		t.Errorf("%d acknowledgements of a new subscription, want that of its LISTEN alone", n)
	}
	before = acks()
	if err := s.stopEvents(); err != nil {
		t.Fatal(err)
	}
	if n := acks() - before; n != 1 {
		t.Errorf("%d acknowledgements at the end, want that of one IGNORE", n)
	}
	cancel()
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	tap.Close()
}
