// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"

	"elsa/internal/web"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
)

// pageInterval is how often the page's charts get a point.
const pageInterval = 15 * time.Second

// watchPage feeds the page's charts.
func watchPage(ctx context.Context, c *core, l *live, page *web.Page) error {
	tick := time.NewTicker(pageInterval)
	defer tick.Stop()
	for {
		if s := c.show(ctx, l); s != nil {
			page.Observe(s)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// pageMembers are the live members of a group for the page.
func (c *core) pageMembers(ctx context.Context, group uint32) (members []web.Member, err error) {
	var lives []groups.Life
	if err := c.do(ctx, func() {
		c.tracker.EachLive(func(l groups.Life) {
			if c.tracker.Sets.Has(l.Set, group) {
				lives = append(lives, l)
			}
		})
	}); err != nil {
		return nil, err
	}
	sampler, boot := c.proc.NewSampler(), proc.BootTime()
	for _, l := range lives {
		p, err := c.proc.Process(l.PID)
		var used proc.Sample
		if err != nil || !proc.SameStart(p.Start, l.Start) || sampler.Sample(l.PID, l.Start, &used, true) != nil {
			continue // it ended meanwhile
		}
		members = append(members, web.Member{
			PID: int(l.PID), UID: p.UID, Command: p.Command(), Started: boot.Add(time.Duration(p.Start)), CPU: used.CPU, RSS: used.MaxRSS,
		})
	}
	return members, nil
}
