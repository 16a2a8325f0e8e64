// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"elsa/internal/tally"
	"elsa/pkg/usage"
)

// View computes every bill as of now without sampling the living anew.
func (t Turn) View() (*usage.Snapshot, error) { return t.p.view() }

func (p *Pipeline) view() (*usage.Snapshot, error) {
	v, now := p.Service, readNow()
	if v.Suspended = p.watch.suspended; v.Suspended {
		v.SuspendedSince, v.SuspendedCause = p.watch.since, p.watch.cause
	}
	v.Counts = tally.Counts{tally.SkippedBytes: p.skipped.Bytes, tally.LinesLost: p.skipped.Lost, tally.Gaps: p.skipped.Gaps}
	if exact, ok := p.Sources.Exact.(interface{ Incomplete() uint64 }); ok {
		v.Counts[tally.ExactIncomplete] = exact.Incomplete()
	}
	if lines := p.Sources.Ledger; lines != nil {
		if end, err := lines.End(); err == nil {
			v.BacklogBytes = lines.Backlog(p.position, end)
		}
	}
	v.Counts[tally.JournalRows], v.Counts[tally.JournalLost] = p.journaled.Rows, p.journaled.Lost.Rows+p.journaled.Lost.Fixes
	v.Counts[tally.LooksLate], v.Counts[tally.LooksRefused] = p.Proc.Late(), p.Proc.Refused()
	v.StoreBytes, v.Committed = p.Store.Size(), p.disk.good
	v.Unsaved, v.Unaccounted = p.disk.since(now), p.audit.missing
	return p.Engine.Snapshot(v, now)
}
