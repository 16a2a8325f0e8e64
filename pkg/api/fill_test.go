// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strings"
	"testing"
	"time"

	"elsa/pkg/usage"
)

// A request to fill that makes no sense is refused before the service is asked.
func TestCheckFill(t *testing.T) {
	fine := func() *FillRequest {
		return &FillRequest{
			Rows: []FillRows{{Source: "s", Rows: []byte{0, 3}}}, Columns: CellColumns(),
			Cells: []FillCell{{Hour: time.Unix(7200, 0), Cell: Cell{Groups: []uint32{1, 2}, Command: "x", Figures: make([]uint64, len(usage.Stored))}}},
		}
	}
	if err := checkFill(fine()); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*FillRequest){
		"there are none":         func(q *FillRequest) { q.Rows = nil },
		"or no cells":            func(q *FillRequest) { q.Cells = nil },
		"use at most 16 and":     func(q *FillRequest) { q.Rows = make([]FillRows, 17) },
		"4001 cells":             func(q *FillRequest) { q.Cells = make([]FillCell, 4001) },
		"bad columns":            func(q *FillRequest) { q.Columns = q.Columns[1:] },
		"bad source":             func(q *FillRequest) { q.Rows[0].Source = "" },
		"bad rows of source s":   func(q *FillRequest) { q.Rows[0].Rows = []byte{0} },
		"unattributed":           func(q *FillRequest) { q.Cells[0].Unattributed = true },
		"its command is 49":      func(q *FillRequest) { q.Cells[0].Command = strings.Repeat("x", 49) },
		"in order":               func(q *FillRequest) { q.Cells[0].Groups = []uint32{2, 1} },
		"no beginning":           func(q *FillRequest) { q.Cells[0].Hour = time.Unix(7201, 0) },
		"it has 1 figures":       func(q *FillRequest) { q.Cells[0].Figures = []uint64{1} },
		"its processes_ended is": func(q *FillRequest) { q.Cells[0].Figures[1] = 1 << 60 },
	} {
		q := fine()
		change(q)
		if err := checkFill(q); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
