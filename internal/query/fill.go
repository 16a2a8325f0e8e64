// SPDX-License-Identifier: Apache-2.0

package query

import (
	"time"

	"elsa/pkg/client"
)

// FillLine is a line of what elsa-archive tells elsactl group fill: a request, without its
// version, or, last, what all come to.
type FillLine struct {
	Fill *client.FillRequest `json:"fill,omitempty"`
	Done *FillDone           `json:"done,omitempty"`
}

// FillDone is what a group takes of the archive.
type FillDone struct {
	// Matched counts the rows that were asked for, and Rows those of them that the group
	// takes.
	Matched uint64 `json:"matched"`
	Rows    uint64 `json:"rows"`
	// Had: the group has them already. Unsettled: their figures may yet get better. Late:
	// they were written after elsad was asked. Crowded: too many groups have them.
	Had       uint64 `json:"had"`
	Unsettled uint64 `json:"unsettled"`
	Late      uint64 `json:"late"`
	Crowded   uint64 `json:"crowded"`
	// First and Last are when the first and the last of Rows ended.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	// Columns name the Figures, which are the sum of Rows.
	Columns []string `json:"columns"`
	Figures []uint64 `json:"figures"`
	// Complete: every process that ended at CompleteSince or later is in the archive.
	Complete      bool      `json:"complete"`
	CompleteSince time.Time `json:"complete_since,omitzero"`
}
