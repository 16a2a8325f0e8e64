// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"

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
	b.shared = before.Usage.ProcessesStarted > 0
	b.Usage = after.Usage.Since(&before.Usage)
	b.Precision = after.Precision.Since(&before.Precision)
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
