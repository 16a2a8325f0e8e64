// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"elsa/internal/journal"
	"elsa/internal/query"
	"elsa/pkg/usage"
)

// An expression finds the rows for which a plain loop says that it holds, in files and in
// the journal.
func TestWhere(t *testing.T) {
	rows := machine(3000, 1)
	dir := halfSealed(t, rows, 700)
	last := rows[len(rows)-1]
	last.Seq++
	rows = append(rows, last)
	cpu := func(r *journal.Row) float64 {
		return time.Duration(r.Measure[usage.User] + r.Measure[usage.System]).Seconds()
	}
	in := func(r *journal.Row, f func(string) bool) bool {
		for _, g := range r.Groups.Names {
			if f(g) {
				return true
			}
		}
		return false
	}
	for text, holds := range map[string]func(*journal.Row) bool{
		`command == "cc1"`:                        func(r *journal.Row) bool { return commandName(r.Comm) == "cc1" },
		`command in ["as", "ld"] and uid != 1000`: func(r *journal.Row) bool { c := commandName(r.Comm); return (c == "as" || c == "ld") && r.UID != 1000 },
		`command matches "^c.*[1-9]$"`:            func(r *journal.Row) bool { c := commandName(r.Comm); return c == "cc1" || c == "collect2" },
		`cpu_seconds > 0.02`:                      func(r *journal.Row) bool { return cpu(r) > 0.02 },
		`"ci" in groups`:                          func(r *journal.Row) bool { return in(r, func(g string) bool { return g == "ci" }) },
		`any(groups, # startsWith "build/")`:      func(r *journal.Row) bool { return in(r, func(g string) bool { return strings.HasPrefix(g, "build/") }) },
		`len(groups) == 0 and not unattributed`:   func(r *journal.Row) bool { return len(r.Groups.Names) == 0 && !r.Groups.Unattributed },
		`exit_status == 1`:                        func(r *journal.Row) bool { return r.Exited && r.Status == 256 },
		`exit_status == -1`:                       func(r *journal.Row) bool { return !r.Exited || r.Status&0x7f != 0 },
		`signal == 9 or part > 0`:                 func(r *journal.Row) bool { return r.Status == 9 || r.Part > 0 },
		`ended >= date("2026-11-28T23:30:00Z") and user_name == "user1001"`: func(r *journal.Row) bool {
			return r.End >= start.Add(30*time.Minute).UnixNano() && r.UID == 1001
		},
		`ended - started > duration("50ms")`: func(r *journal.Row) bool { return r.End-r.Start > 5e7 },
		`max_rss_bytes >= 4194304`:           func(r *journal.Row) bool { return r.Measure[usage.MaxRSS] >= 4<<20 },
		`write_bytes > 0 && precision == "exact" && host == "node1"`: func(r *journal.Row) bool {
			return r.Measure[usage.WriteBytes] > 0 && r.Precision == journal.Exact
		},
	} {
		want := map[uint64]bool{}
		for i := range rows {
			if holds(&rows[i]) {
				want[rows[i].Seq] = true
			}
		}
		var got []struct{ Seq uint64 }
		if err := json.Unmarshal(ask(t, dir, query.Query{Where: text, Format: "json"}, nil), &got); err != nil {
			t.Fatal(err)
		}
		wrong := 0
		for _, r := range got {
			if !want[r.Seq] {
				wrong++
			}
		}
		if len(got) != len(want) || wrong > 0 || len(want) == 0 || len(want) == len(rows) {
			t.Errorf("%s: %d rows, %d of them wrong, want %d", text, len(got), wrong, len(want))
		}
	}
}

// Every name can be asked for, and is one of a column.
func TestWhereNames(t *testing.T) {
	dir := halfSealed(t, machine(50, 1), 20)
	for name := range whereNames {
		text := name + " == " + name
		if n := len(ask(t, dir, query.Query{Where: text, Format: "csv"}, nil)); n < 1000 {
			t.Errorf("%s: %d bytes", text, n)
		}
	}
}

// What makes no sense, or may take long, is refused in one line that says where.
func TestWhereRefused(t *testing.T) {
	for text, want := range map[string]string{
		`command = "x"`:     `unexpected token`,
		`comand == "x"`:     `unknown name comand`,
		`command == 3`:      `mismatched types`,
		`uid`:               `expected bool`,
		`len(1..uid) > 3`:   `ranges are not allowed`,
		`any([1,2], # > 3)`: `any is for groups alone`,
		`any(groups, any(groups, any(groups, # == "x")))`: `2 times at most`,
		`len(repeat(command, 1000000)) > 3`:               `unknown name repeat`,
		`command matches "("`:                             `missing closing`,
		strings.Repeat("uid==1 or ", 200) + "uid==1":      `nodes`,
	} {
		err := CheckWhere(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.60s: %v, want %q", text, err, want)
		}
	}
	if err := (&query.Query{Where: strings.Repeat(" ", 1025)}).Check(); err == nil {
		t.Error("an expression of any length is taken")
	}
}
