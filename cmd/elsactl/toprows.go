// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"elsa/pkg/client"
)

// topRow is what one group, or part of the machine, does now. Rates are over
// the time since the frame before; there are none in the first.
type topRow struct {
	// Scope is "group", or the part of the machine the row is about.
	Scope            string  `json:"scope"`
	Name             string  `json:"name"`
	Live             uint64  `json:"processes_live"`
	Started          float64 `json:"processes_started_per_second"`
	CPUPercent       float64 `json:"cpu_percent"` // of one CPU
	CPUSeconds       float64 `json:"cpu_seconds"`
	MaxRSSBytes      uint64  `json:"max_rss_bytes"`
	ReadsPerSecond   float64 `json:"read_bytes_per_second"`
	WritesPerSecond  float64 `json:"write_bytes_per_second"`
	FaultsPerSecond  float64 `json:"major_faults_per_second"`
	ProcessesStarted uint64  `json:"processes_started"`

	owner  uint32 // of a group
	labels string
}

// idle reports whether nothing was done within the interval.
func (r *topRow) idle() bool {
	return r.CPUPercent < 0.05 && r.Started == 0 && r.ReadsPerSecond == 0 && r.WritesPerSecond == 0
}

// topFrame is one look at all groups.
type topFrame struct {
	Time    time.Time `json:"time"`
	Seconds float64   `json:"interval_seconds"` // zero in the first frame
	CPUs    int       `json:"cpus"`             // of the machine, zero if not known
	Rows    []topRow  `json:"rows"`

	grouped float64 // percent of a CPU that processes in groups use, each counted once
}

// topColumn is one to sort by; key is what is pressed for it.
type topColumn struct {
	name, key string
	value     func(*topRow) float64 // nil: by name
}

var topColumns = []topColumn{
	{"cpu", "c", func(r *topRow) float64 { return r.CPUPercent }},
	{"time", "t", func(r *topRow) float64 { return r.CPUSeconds }},
	{"processes", "p", func(r *topRow) float64 { return float64(r.Live) }},
	{"memory", "m", func(r *topRow) float64 { return float64(r.MaxRSSBytes) }},
	{"read", "r", func(r *topRow) float64 { return r.ReadsPerSecond }},
	{"written", "w", func(r *topRow) float64 { return r.WritesPerSecond }},
	{"forks", "f", func(r *topRow) float64 { return r.Started }},
	{"name", "n", nil},
}

func topColumnNames() (names []string) {
	for _, c := range topColumns {
		names = append(names, c.name)
	}
	return names
}

func findTopColumn(f func(*topColumn) bool) (int, bool) {
	i := slices.IndexFunc(topColumns, func(c topColumn) bool { return f(&c) })
	return max(i, 0), i >= 0
}

// newFrame computes what happened between two reports. A group that is not in
// before is new: all it has is of the time between. What a long life used comes on
// the bill at its end, so that more can come in an interval than there are CPUs: no
// rate is above what they can do.
func newFrame(before *client.UsageReport, now *client.UsageReport) topFrame {
	f := topFrame{Time: now.Time, CPUs: now.CPUs}
	old := map[string]*client.Usage{}
	if before != nil {
		f.Seconds = max(now.Time.Sub(before.Time).Seconds(), 0)
		for i := range before.Groups {
			old[fmt.Sprint("group", before.Groups[i].ID)] = &before.Groups[i].Usage
		}
		old["ungrouped"], old["unattributed"], old["total"] = &before.Ungrouped, &before.Unattributed, &before.Total
	}
	if before != nil && f.Seconds > 0 {
		f.grouped = atMost(f.CPUs, 100*max(now.AnyGroup.CPUSeconds-before.AnyGroup.CPUSeconds, 0)/f.Seconds)
	}
	row := func(scope, name, key string, u *client.Usage) {
		r := topRow{
			Scope: scope, Name: name, Live: u.ProcessesLive, CPUSeconds: u.CPUSeconds, MaxRSSBytes: u.MaxRSSBytes,
			ProcessesStarted: u.ProcessesStarted,
		}
		if f.Seconds > 0 {
			o := old[key]
			if o == nil {
				o = &client.Usage{}
			}
			// A deleted group's bill goes to another row, which jumps.
			// To the nanosecond: the rest is what the difference of two floats adds.
			r.CPUPercent = atMost(f.CPUs, 100*math.Round(max(u.CPUSeconds-o.CPUSeconds, 0)*1e9)/1e9/f.Seconds)
			r.Started = rate(u.ProcessesStarted, o.ProcessesStarted, f.Seconds)
			r.ReadsPerSecond = rate(u.ReadBytes, o.ReadBytes, f.Seconds)
			r.WritesPerSecond = rate(u.WriteBytes, o.WriteBytes, f.Seconds)
			r.FaultsPerSecond = rate(u.MajorFaults, o.MajorFaults, f.Seconds)
		}
		f.Rows = append(f.Rows, r)
	}
	for i := range now.Groups {
		g := &now.Groups[i]
		row("group", g.Name, fmt.Sprint("group", g.ID), &g.Usage)
		r := &f.Rows[len(f.Rows)-1]
		r.owner, r.labels = g.Owner, labelText(g.Labels)
	}
	row("ungrouped", "(ungrouped)", "ungrouped", &now.Ungrouped)
	if now.Unattributed != (client.Usage{}) {
		row("unattributed", "(unattributed)", "unattributed", &now.Unattributed)
	}
	row("total", "(total)", "total", &now.Total)
	return f
}

// atMost bounds a percentage of one CPU by what a number of CPUs can do, if it is known.
func atMost(cpus int, percent float64) float64 {
	if cpus > 0 {
		return min(percent, 100*float64(cpus))
	}
	return percent
}

func rate(now, before uint64, seconds float64) float64 {
	return float64(now-min(before, now)) / seconds
}

// sort orders the groups by a column; the rest of the machine stays below.
func (f *topFrame) sort(by int, reverse bool) {
	n := slices.IndexFunc(f.Rows, func(r topRow) bool { return r.Scope != "group" })
	col := topColumns[by]
	slices.SortStableFunc(f.Rows[:n], func(a, b topRow) int {
		d := strings.Compare(a.Name, b.Name)
		if col.value != nil {
			d = cmp.Or(cmp.Compare(col.value(&b), col.value(&a)), d)
		}
		if reverse {
			d = -d
		}
		return d
	})
}

var topHeader = []string{"GROUP", "PROCS>", "FORKS/S>", "CPU %>", "CPU TIME>", "PEAK>", "READ/S>", "WRITTEN/S>"}

func (r *topRow) cells() []string {
	return []string{
		r.Name, fmt.Sprint(r.Live), perSecond(r.Started), fmt.Sprintf("%.1f", r.CPUPercent), seconds(r.CPUSeconds),
		bytes(r.MaxRSSBytes), bytes(uint64(r.ReadsPerSecond)), bytes(uint64(r.WritesPerSecond)),
	}
}

func perSecond(f float64) string {
	if f > 0 && f < 10 {
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.0f", f)
}
