// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"elsa/internal/ship"
)

// writeMetrics writes what a round of delivery came to as a file that node_exporter's
// textfile collector reads, in the place of the last one. "" is none.
func writeMetrics(path string, r *ship.Round, failed error, now time.Time) error {
	if path == "" {
		return nil
	}
	var b strings.Builder
	metric := func(name, kind, help string, value float64) {
		fmt.Fprintf(&b, "# HELP %[1]s %[3]s\n# TYPE %[1]s %[2]s\n%[1]s %[4]g\n", name, kind, help, value)
	}
	ok := 1.0
	if failed != nil {
		ok = 0
	}
	metric("elsa_ship_success", "gauge", "Whether the last round delivered all.", ok)
	metric("elsa_ship_last_round_timestamp_seconds", "gauge", "When the last round ended.", float64(now.UnixMilli())/1e3)
	if !r.Through.IsZero() { // elsad was asked since the start
		metric("elsa_ship_behind_seconds", "gauge", "Age of what is delivered: all that ended before is there.", max(0, now.Sub(r.Through).Seconds()))
	}
	metric("elsa_ship_waiting_files", "gauge", "Files that wait to be delivered.", float64(r.Waiting))
	metric("elsa_ship_resent_files", "gauge", "Files that the last round sent again, since what was there was not what was sent.", float64(r.Resent))
	metric("elsa_ship_lost_files_total", "counter", "Files that were dropped before they could be delivered.", float64(r.Lost.Items))
	metric("elsa_ship_lost_cpu_seconds_total", "counter", "CPU time of these.", float64(r.Lost.CPU)/1e9)
	tmp := path + ".tmp"
	err := os.WriteFile(tmp, []byte(b.String()), 0o644)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
		return fmt.Errorf("write metrics to %s: %w", path, err)
	}
	return nil
}
