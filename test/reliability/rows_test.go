// SPDX-License-Identifier: Apache-2.0

package reliability

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"elsa/internal/history"
	"elsa/internal/store"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// archived is a row as elsactl processes tells it.
type archived struct {
	Source       string    `json:"source"`
	Seq          uint64    `json:"seq"`
	Part         uint32    `json:"part"`
	Ended        time.Time `json:"ended"`
	Started      int64     `json:"started_ns"`
	PID          int32     `json:"pid"`
	Groups       []string  `json:"groups"`
	Unattributed bool      `json:"unattributed"`
	UID          uint32    `json:"uid"`
	Command      string    `json:"command"`
	Status       *uint32   `json:"status"`
	Precision    string    `json:"precision"`
	Inferred     bool      `json:"inferred"`

	User        uint64 `json:"cpu_user_ns"`
	System      uint64 `json:"cpu_system_ns"`
	Delay       uint64 `json:"cpu_delay_ns"`
	Elapsed     uint64 `json:"elapsed_ns"`
	Minor       uint64 `json:"minor_faults"`
	Major       uint64 `json:"major_faults"`
	Read        uint64 `json:"read_bytes"`
	Written     uint64 `json:"write_bytes"`
	ReadChars   uint64 `json:"read_chars"`
	WriteChars  uint64 `json:"write_chars"`
	MaxRSS      uint64 `json:"max_rss_bytes"`
	Voluntary   uint64 `json:"voluntary_switches"`
	Involuntary uint64 `json:"involuntary_switches"`
}

// usage is what the row puts on a bill.
func (r *archived) usage() (u usage.Usage) {
	u = usage.Usage{
		usage.User: r.User, usage.System: r.System, usage.CPUDelay: r.Delay, usage.Elapsed: r.Elapsed,
		usage.MinorFaults: r.Minor, usage.MajorFaults: r.Major, usage.ReadBytes: r.Read, usage.WriteBytes: r.Written,
		usage.ReadChars: r.ReadChars, usage.WriteChars: r.WriteChars, usage.MaxRSS: r.MaxRSS,
		usage.VoluntarySwitches: r.Voluntary, usage.InvoluntarySwitches: r.Involuntary,
	}
	if r.Part > 0 {
		return u
	}
	u[usage.Ended] = 1
	u[map[string]usage.Field{"rounded": usage.Rounded, "sampled": usage.Sampled, "exact": usage.Exact}[r.Precision]]++
	if r.Inferred {
		u[usage.Inferred] = 1
	}
	if s := r.Status; s != nil && *s&0x7f != 0 {
		u[usage.ExitSignal] = 1
	} else if s != nil && *s != 0 {
		u[usage.ExitNonzero] = 1
	}
	return u
}

// place is what tells sets apart: the groups.
func (r *archived) place() string {
	if r.Unattributed {
		return "(unattributed)"
	}
	names := slices.Sorted(slices.Values(r.Groups))
	return strings.Join(names, " ")
}

// archiveRows are all the rows there are.
type archiveRows []archived

// rows reads all of an archive and of its journal.
func (d *daemon) rows(archive string) (all archiveRows) {
	d.t.Helper()
	if err := json.Unmarshal([]byte(d.ctl("processes", "--archive-dir", archive, "-o", "json")), &all); err != nil {
		d.t.Fatal(err)
	}
	return all
}

// deaths is how many rows are of deaths; doubled are those that are of one of which there
// was a row before.
func (rows archiveRows) deaths(t testing.TB) (n, doubled uint64) {
	t.Helper()
	type number struct {
		source string
		seq    uint64
	}
	numbers, lives := map[number]bool{}, map[int32][]int64{}
	for i := range rows {
		r := &rows[i]
		if id := (number{r.Source, r.Seq}); numbers[id] {
			t.Errorf("row %d is there twice", r.Seq)
		} else {
			numbers[id] = true
		}
		if r.Part > 0 {
			continue
		}
		n++
		// Lives of a pid begin a tick apart at least.
		if slices.ContainsFunc(lives[r.PID], func(s int64) bool { return max(s-r.Started, r.Started-s) < int64(time.Millisecond) }) {
			doubled++
			t.Errorf("process %d of %v died twice: row %d", r.PID, time.Unix(0, r.Started), r.Seq)
		}
		lives[r.PID] = append(lives[r.PID], r.Started)
	}
	return n, doubled
}

// matchHistory compares the rows with the cells of the history: of an hour, groups, user
// and command. It returns how many there are.
func (rows archiveRows) matchHistory(t testing.TB, d *daemon, st *store.State) (cells int) {
	t.Helper()
	want := d.cells(st)
	same(t, "cell of the history", want, rows.byCell())
	return len(want)
}

// within fails where the rows have more deaths, or used more, than the history says, as
// none may when some are missing. How well a row is known may be less.
func (rows archiveRows) within(t testing.TB, d *daemon, st *store.State) {
	t.Helper()
	want := d.cells(st)
	for key, got := range rows.byCell() {
		w := want[key]
		for f := range usage.Ended + 1 {
			if got[f] > w[f] {
				t.Errorf("%s: %s is %d, and %d by the rows", key, f.Info().Name, w[f], got[f])
			}
		}
	}
}

// cellName names a cell.
func cellName(hour uint32, place string, uid uint32, command string) string {
	return fmt.Sprintf("hour %d, groups %q, user %d, %s", hour, place, uid, command)
}

// cells are those of the history of a stopped service, by name.
func (d *daemon) cells(st *store.State) map[string]usage.Usage {
	d.t.Helper()
	names := map[uint32]string{}
	for _, g := range st.Groups {
		names[g.ID] = g.Name
	}
	db, err := store.Open(d.database(), time.Now())
	if err != nil {
		d.t.Fatal(err)
	}
	defer db.Close()
	cells := map[string]usage.Usage{}
	if err := db.History(0, math.MaxUint32, func(k *history.Key, u *usage.Usage) error {
		r := archived{Unattributed: k.Unattributed}
		for _, id := range k.Groups {
			r.Groups = append(r.Groups, names[id])
		}
		add(cells, cellName(k.Hour, r.place(), k.UID, k.Command), *u)
		return nil
	}); err != nil {
		d.t.Fatal(err)
	}
	return cells
}

// byCell adds the rows up by the names of their cells.
func (rows archiveRows) byCell() map[string]usage.Usage {
	sums := map[string]usage.Usage{}
	for i := range rows {
		r := &rows[i]
		add(sums, cellName(usage.HourOf(r.Ended.Unix()), r.place(), r.UID, r.Command), r.usage())
	}
	return sums
}

// matchBills compares the rows with the bills of the sets of groups, but for the peak,
// which on a bill is also that of processes that lived in the set and left it.
func (rows archiveRows) matchBills(t testing.TB, st *store.State) {
	t.Helper()
	want, got := map[string]usage.Usage{}, map[string]usage.Usage{}
	for i := range st.Sets {
		r := archived{Unattributed: st.Sets[i].ID == groups.Unattributed}
		for _, g := range st.Groups {
			if slices.Contains(st.Sets[i].Groups, g.ID) {
				r.Groups = append(r.Groups, g.Name)
			}
		}
		u := st.Sets[i].Usage
		u[usage.MaxRSS] = 0
		add(want, r.place(), u)
	}
	for i := range rows {
		u := rows[i].usage()
		u[usage.MaxRSS] = 0
		add(got, rows[i].place(), u)
	}
	same(t, "bill", want, got)
}

func add(to map[string]usage.Usage, key string, u usage.Usage) {
	sum := to[key]
	u[usage.Started], u[usage.Live] = 0, 0 // no row tells of these
	if sum.Add(&u); sum != (usage.Usage{}) {
		to[key] = sum
	}
}

func same(t testing.TB, what string, want, got map[string]usage.Usage) {
	t.Helper()
	for key, w := range want {
		g := got[key]
		delete(got, key)
		for f := range usage.Fields {
			if w[f] != g[f] {
				t.Errorf("%s %s: %s is %d, and %d by the rows", what, key, f.Info().Name, w[f], g[f])
			}
		}
	}
	for key, g := range got {
		t.Errorf("no %s %s, and rows of it have %v", what, key, g)
	}
}
