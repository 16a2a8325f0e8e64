// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"

	"elsa/internal/config"
	"elsa/internal/feed"
	"elsa/internal/pipeline"
	"elsa/pkg/tracepoint"
)

// The ring of BPF programs outlives elsad, so that after a crash events go on where
// they were committed last: in the manager's store of descriptors from its start on,
// or, where that keeps none, pinned.

// pins are where the ring is pinned.
func pins(cfg *config.Config) tracepoint.Pins {
	return tracepoint.Pins(filepath.Join(cfg.StateDir, "bpf"))
}

// ring returns the ring that was kept, for [feed.Open] to go on with or to close.
func (k *kept) ring(cfg *config.Config) feed.Kept {
	ring := feed.Kept{Handles: tracepoint.Handles{}, Unfit: func(err error) {
		k.log.Warn("cannot go on with the kept ring: attaching programs anew", "err", err)
	}}
	if k.meta.BootID == k.boot {
		ring.At = k.meta.Ring
	}
	for name := range k.fds {
		if handle, ok := strings.CutPrefix(name, pipeline.NameRing); ok {
			ring.Handles[handle] = k.take(name)
		}
	}
	if len(ring.Handles) == 0 {
		pinned, err := pins(cfg).Kept()
		if err != nil {
			k.log.Warn("cannot go on with the pinned ring", "err", err)
		}
		ring.Handles = pinned
	}
	return ring
}

// keepRing keeps the ring over a crash. names are those of an earlier ring in the
// manager's store.
func keepRing(cfg *config.Config, ring *tracepoint.Source, names []string, log *slog.Logger) {
	for _, name := range names {
		manager{}.Drop(name)
	}
	err := pins(cfg).Remove() // of an earlier ring
	if ring == nil {
		return
	}
	h, e := ring.Handles()
	if err = errors.Join(err, e); e == nil {
		defer h.Close()
	}
	switch {
	case err != nil:
	case manager{}.Offered():
		for name, fd := range h {
			err = errors.Join(err, manager{}.Keep(pipeline.NameRing+name, fd))
		}
	default:
		err = pins(cfg).Keep(h)
	}
	if err != nil {
		log.Info("the events of a crash will be lost: the ring cannot be kept", "err", err)
	}
}
