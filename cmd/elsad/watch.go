// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"elsa/internal/pipeline"
	"elsa/internal/web"
)

// pageInterval is how often the page's charts get a point.
const pageInterval = 15 * time.Second

// watchPage feeds the page's charts.
func watchPage(ctx context.Context, p *pipeline.Pipeline, page *web.Page) error {
	tick := time.NewTicker(pageInterval)
	defer tick.Stop()
	for {
		if s := p.Show(ctx); s != nil {
			page.Observe(s)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// notify tells the service manager a state; see sd_notify(3).
func notify(state string) { daemon.SdNotify(false, state) }

// watchdog tells systemd that the pipeline still turns.
func watchdog(ctx context.Context, p *pipeline.Pipeline) error {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		return nil
	}
	tick := time.NewTicker(every / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if p.Do(ctx, func(pipeline.Turn) error { return nil }) == nil {
				notify(daemon.SdNotifyWatchdog)
			}
		}
	}
}
