// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"elsa/internal/config"
	"elsa/internal/history"
	"elsa/internal/metrics"
	"elsa/internal/pipeline"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// budgetInterval is how often the month's history is added up for the budgets.
const budgetInterval = 5 * time.Minute

// budgets are those of the configuration file and what was used of them.
type budgets struct {
	list atomic.Pointer[[]config.Budget]
	used atomic.Pointer[[]metrics.Budget]
	// changed has room for one: list is another.
	changed chan struct{}
	// most bounds the series; below zero it does not.
	most int
}

// newBudgets reads the budgets of a configuration file, none if it has no name.
func newBudgets(path string, most int) (*budgets, error) {
	b := &budgets{changed: make(chan struct{}, 1), most: most}
	return b, b.read(path)
}

// read reads them again. A bad file changes nothing.
func (b *budgets) read(path string) error {
	if path == "" {
		return nil
	}
	s, err := config.ReadSections(path)
	if err != nil {
		return err
	}
	b.list.Store(&s.Budgets)
	select {
	case b.changed <- struct{}{}:
	default: // it is known already
	}
	return nil
}

// current is what was used when it was last looked; nil if there are no budgets.
func (b *budgets) current() []metrics.Budget {
	if used := b.used.Load(); used != nil {
		return *used
	}
	return nil
}

// run adds up what was used, now and then, until ctx ends. It waits for the disk.
func (b *budgets) run(ctx context.Context, show func(context.Context) *usage.Snapshot, p *pipeline.Pipeline, log *slog.Logger) error {
	tick := time.NewTicker(budgetInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-b.changed:
		}
		list := b.list.Load()
		if list == nil || len(*list) == 0 {
			b.used.Store(nil)
			continue
		}
		snap := show(ctx)
		if snap == nil {
			continue // it is stopping, or busy: the figures of before stay
		}
		gs := make([]groups.Group, len(snap.Groups))
		for i := range gs {
			gs[i] = snap.Groups[i].Group
		}
		used, err := spent(*list, gs, snap.Time, func(first, last uint32, f func(*history.Key, *usage.Usage) error) error {
			return p.History(ctx, first, last, func(k *history.Key, u *usage.Usage) error { return cmp.Or(ctx.Err(), f(k, u)) })
		})
		if err != nil {
			if ctx.Err() == nil {
				log.Error("cannot add up budgets", "err", err)
			}
			continue
		}
		if n := len(used); b.most >= 0 && n > b.most {
			log.Warn("too many budgets for series of their own; those with least used have none (--metrics.max-groups)", "budgets", n, "shown", b.most)
			slices.SortFunc(used, func(x, y metrics.Budget) int { return cmp.Compare(y.Ratio, x.Ratio) })
			used = used[:b.most]
		}
		slices.SortFunc(used, func(x, y metrics.Budget) int { return strings.Compare(x.Group, y.Group) })
		b.used.Store(&used)
	}
}

// spent is what groups used of their budgets in the month of UTC that now is in. read
// calls its argument for the history of some hours.
func spent(list []config.Budget, gs []groups.Group, now time.Time, read func(first, last uint32, f func(*history.Key, *usage.Usage) error) error) ([]metrics.Budget, error) {
	names := make([]string, len(gs))
	for i := range gs {
		names[i] = gs[i].Name
	}
	allowances := config.Allowances(list, names)
	rows := map[uint32][]int{}
	for row, a := range allowances {
		for _, i := range a.Groups {
			for _, id := range append([]uint32{gs[i].ID}, gs[i].Absorbed...) {
				rows[id] = append(rows[id], row)
			}
		}
	}
	report := history.NewReport(history.ByGroup, func(g uint32) []int { return rows[g] }, false)
	first, next := config.Month(now)
	err := read(usage.HourOf(first.Unix()), usage.HourOf(next.Unix()), func(k *history.Key, u *usage.Usage) error {
		report.Add(k, u)
		return nil
	})
	used := make([]metrics.Budget, len(allowances))
	for i, a := range allowances {
		used[i].Group = a.Name
	}
	for _, row := range report.Rows() {
		used[row.Group].Ratio = row.Usage.CPU().Seconds() / allowances[row.Group].CPU.Seconds()
	}
	return used, err
}
