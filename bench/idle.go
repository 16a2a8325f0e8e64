// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"
)

// idle is what elsad costs on a machine on which nothing happens.
func (b *bench) idle() error {
	p, err := b.elsad()
	if err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	before, err := p.cpu()
	if err != nil {
		return err
	}
	const window = 10 * time.Second
	time.Sleep(window)
	after, err := p.cpu()
	if err != nil {
		return err
	}
	rss := p.rss()
	if err := p.stop(); err != nil {
		return err
	}
	share := float64(after-before) / float64(window) * 100
	b.rows = append(b.rows,
		row{what: "idle: CPU", ours: fmt.Sprintf("%.3f %% of a core", share), limit: "< 0.1 %", ok: share < 0.1},
		row{what: "idle: resident memory", ours: fmt.Sprintf("%.1f MiB", float64(rss)/1024), limit: "≤ 30 MiB", ok: rss <= 30<<10})
	return nil
}
