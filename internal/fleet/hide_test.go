// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"elsa/internal/cells"
	"elsa/internal/query"
	"elsa/internal/ship"
)

// TestHide: what is hidden does not leave the host, nor stays where it went before.
func TestHide(t *testing.T) {
	f := newFleet(t)
	spool := t.TempDir()
	n := f.join(newNode(f.clock, 1), spool, wide)
	n.bill(f.hour(1), key{1, 1000, "secret1"}, spent(1e9))
	f.deliver(n)
	sink := f.sink.(*memory)
	sink.fault = func(op, _ string) (error, error) { return errors.New("away"), nil }
	n.bill(f.hour(0), key{1, 1000, "secret2"}, spent(2e9))
	f.round(n) // it waits
	sink.fault = nil
	s, err := ship.New(ship.Options{
		Place: ship.Files{Sink: f.sink}, Cells: n, Spool: spool, Bounds: wide, Again: time.Hour, Now: func() time.Time { return f.clock.now },
		Hide: cells.Hide{Commands: true, Users: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.ship[n] = s
	n.bill(f.hour(0), key{1, 0, "secret3"}, spent(4e9))
	f.deliver(n)
	for name, body := range sink.files {
		if _, ok := ship.ParseCells(name); !ok {
			continue
		}
		b, err := cells.Decode(body)
		if err != nil || len(b.Cells) != 1 || b.Cells[0].Command != cells.Hidden || b.Cells[0].User != cells.Hidden || b.Cells[0].UID != cells.HiddenID {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
	for _, by := range []string{"command", "user"} {
		r := f.report(query.Fleet{By: by})
		if len(r.Rows) != 1 || r.Rows[0].Command+r.Rows[0].User != cells.Hidden || r.Total.CPUUserSeconds != 7 || r.Fleet.Complete != 1 {
			t.Errorf("by %s: %+v, %+v", by, r.Rows, r.Fleet)
		}
	}
}

// TestResend: a host that is asked reads back what it sent, and mends also what the look
// once an hour does not see.
func TestResend(t *testing.T) {
	f := newFleet(t)
	n := f.join(newNode(f.clock, 1), t.TempDir(), wide)
	n.bill(f.hour(1), key{1, 0, "sh"}, spent(1e9))
	n.bill(f.hour(9), key{1, 0, "sh"}, spent(2e9))
	f.deliver(n)
	files := f.sink.(*memory).files
	for name, body := range files {
		if c, ok := ship.ParseCells(name); ok && c.Hour == f.hour(1) {
			body = bytes.Clone(body)
			body[30] ^= 1
			files[name] = body
		}
	}
	f.deliver(n)
	if r := f.report(query.Fleet{By: "host"}); r.Fleet.Complete != 0 {
		t.Fatalf("%+v", r.Fleet)
	}
	place := ship.Files{Sink: f.sink}
	if err := place.Ask(t.Context(), n.source, ship.Request{ID: "one", Since: f.clock.now.Add(-2 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if r, err := f.round(n); err != nil || r.Sent != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if r := f.report(query.Fleet{By: "host"}); r.Fleet.Complete != 1 || r.Total.CPUUserSeconds != 3 {
		t.Errorf("%+v, %v s", r.Fleet, r.Total.CPUUserSeconds)
	}
	if r, err := f.round(n); err != nil || r.Sent != 0 {
		t.Errorf("asked once: %+v, %v", r, err)
	}
}
