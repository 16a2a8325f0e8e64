// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"

	"elsa/pkg/client"
)

// bill is what a command cost.
type bill struct {
	Group       string           `json:"group"`
	ExitStatus  int              `json:"exit_status"`
	WallSeconds float64          `json:"wall_seconds"`
	Usage       client.Usage     `json:"usage"`
	Precision   client.Precision `json:"precision"`
	// shared is true if the group had a bill before the command.
	shared bool
}

// charge sets what the group used between two reports. The largest resident
// set is no sum: it is the group's.
func (b *bill) charge(before, after client.GroupUsage) {
	x, y := &before.Usage, after.Usage
	b.shared = x.ProcessesStarted > 0
	for _, d := range []struct {
		y *uint64
		x uint64
	}{
		{&y.ProcessesStarted, x.ProcessesStarted}, {&y.ProcessesEnded, x.ProcessesEnded},
		{&y.MinorFaults, x.MinorFaults}, {&y.MajorFaults, x.MajorFaults},
		{&y.ReadBytes, x.ReadBytes}, {&y.WriteBytes, x.WriteBytes},
		{&y.ReadChars, x.ReadChars}, {&y.WriteChars, x.WriteChars},
		{&y.VoluntarySwitches, x.VoluntarySwitches}, {&y.InvoluntarySwitches, x.InvoluntarySwitches},
		{&y.ExitNonzero, x.ExitNonzero}, {&y.ExitSignal, x.ExitSignal},
	} {
		*d.y -= min(d.x, *d.y)
	}
	for _, d := range []struct {
		y *float64
		x float64
	}{
		{&y.CPUUserSeconds, x.CPUUserSeconds}, {&y.CPUSystemSeconds, x.CPUSystemSeconds},
		{&y.CPUSeconds, x.CPUSeconds}, {&y.ElapsedSeconds, x.ElapsedSeconds},
	} {
		// To the nanosecond: the rest is what the difference of two floats adds.
		*d.y = max(0, math.Round((*d.y-d.x)*1e9)/1e9)
	}
	b.Usage = y
	p, q := &before.Precision, after.Precision
	b.Precision = client.Precision{
		Exact: q.Exact - min(p.Exact, q.Exact), Sampled: q.Sampled - min(p.Sampled, q.Sampled),
		Rounded: q.Rounded - min(p.Rounded, q.Rounded), Inferred: q.Inferred - min(p.Inferred, q.Inferred),
	}
}

// write prints the bill: a table for a person, one line of JSON, or CSV.
func (b *bill) write(w io.Writer, format string) error {
	switch format {
	case "json":
		return json.NewEncoder(w).Encode(b)
	case "csv":
		return writeCSV(w, *b)
	}
	u := b.Usage
	processes := fmt.Sprint(u.ProcessesEnded)
	if u.ProcessesLive > 0 {
		processes += fmt.Sprintf(", and %d in the group still running", u.ProcessesLive)
	}
	memory := bytes(u.MaxRSSBytes)
	if b.shared {
		memory += ", the most in the group so far"
	}
	t := newTable()
	t.row("group", b.Group)
	t.row("wall", seconds(b.WallSeconds))
	t.row("user", seconds(u.CPUUserSeconds))
	t.row("system", seconds(u.CPUSystemSeconds))
	t.row("processes", processes)
	t.row("peak memory", memory)
	t.row("I/O", fmt.Sprintf("%s read, %s written", bytes(u.ReadBytes), bytes(u.WriteBytes)))
	t.row("precision", precision(b.Precision))
	t.write(w)
	return nil
}
