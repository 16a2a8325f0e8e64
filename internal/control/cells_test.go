// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"elsa/internal/history"
	"elsa/internal/store"
	"elsa/pkg/api"
	"elsa/pkg/usage"
)

// TestCells: cells come by hours, with the names of groups as they are now, those of a
// merged one among them; only what changed the next time; and only for admins.
func TestCells(t *testing.T) {
	s, _ := newService(t, "")
	s.Source, s.Host = "source", "node1"
	admin := api.Caller{Admin: true}
	for _, name := range []string{"a", "b"} {
		if _, err := s.CreateGroup(t.Context(), admin, api.CreateGroupRequest{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.MergeGroup(t.Context(), admin, "a", api.MergeRequest{From: "b"}); err != nil {
		t.Fatal(err)
	}
	now := usage.HourOf(time.Now().Unix())
	add := func(hour uint32, n int) {
		if err := s.Store.Commit(func(tx *store.Tx) {
			for i := range n {
				tx.AddCell(&history.Key{Hour: hour, Groups: []uint32{1, 2, 99}, Command: fmt.Sprint("c", i)}, &usage.Usage{usage.Ended: 1, usage.User: 123456789})
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	for h := range uint32(3) {
		add(now+h, answerCells/2+1)
	}
	if _, err := s.Cells(t.Context(), api.Caller{UID: 1000}, api.CellsQuery{}); err == nil || err.(*api.Error).Status != 403 {
		t.Errorf("a user reads cells: %v", err)
	}
	got, err := s.Cells(t.Context(), admin, api.CellsQuery{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Hours) != 2 || got.Next == nil || !got.Next.Equal(usage.HourStart(now+2)) || got.Groups["1"] != "a" || got.Groups["2"] != "a" || len(got.Groups) != 2 {
		t.Errorf("%d hours, next %v, groups %v", len(got.Hours), got.Next, got.Groups)
	}
	if c := got.Hours[0].Cells[0]; c.Command != "c0" || len(c.Groups) != 3 || c.Figures[1] != 1 || c.Figures[2] != 123456789 || got.Columns[2] != "cpu_user_ns" {
		t.Errorf("%+v of %v", c, got.Columns)
	}
	rest, err := s.Cells(t.Context(), admin, api.CellsQuery{From: *got.Next})
	if err != nil || len(rest.Hours) != 1 || rest.Next != nil {
		t.Errorf("%d hours, next %v, %v", len(rest.Hours), rest.Next, err)
	}
	add(now+1, 1)
	again, err := s.Cells(t.Context(), admin, api.CellsQuery{After: rest.Mark})
	if err != nil || len(again.Hours) != 1 || !again.Hours[0].Hour.Equal(usage.HourStart(now+1)) || len(again.Hours[0].Cells) != answerCells/2+1 || again.Hours[0].Cells[0].Figures[1] != 2 {
		t.Errorf("%d hours changed, %v", len(again.Hours), err)
	}
}

// TestCellsAreBounded: beyond the bound an hour's cells are by groups and user, and the
// sums stay.
func TestCellsAreBounded(t *testing.T) {
	l := cellList{most: 2}
	for i := range 10 {
		for uid := range uint32(2) {
			if err := l.add(&history.Key{Hour: 5, UID: uid, Groups: []uint32{3}, Command: fmt.Sprint("c", i)}, &usage.Usage{usage.Ended: 1, usage.MaxRSS: uint64(i)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	cells := l.hours[0].Cells
	if len(cells) != 4 || cells[2].Command != history.Other || cells[2].Figures[1] != 9 || cells[3].UID != 1 || cells[3].Figures[11] != 9 {
		t.Errorf("%+v", cells)
	}
	l.total = answerCells
	if err := l.add(&history.Key{Hour: 6}, &usage.Usage{}); !errors.Is(err, store.ErrEnough) || l.next != 6 {
		t.Errorf("%v, next %d", err, l.next)
	}
}
