// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/tally"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// snapshot has another value in every field.
func snapshot() usage.Snapshot {
	zone := time.FixedZone("", 2*3600)
	at := func(h int) time.Time { return time.Date(2026, 3, 4, h, 6, 7, 123456789, zone) }
	u := usage.Usage{
		usage.Started: 501, usage.Ended: 500, usage.Live: 1,
		usage.User: uint64(1234567891 * time.Nanosecond), usage.System: uint64(2 * time.Second), usage.Elapsed: uint64(90 * time.Minute),
		usage.MinorFaults: 11, usage.MajorFaults: 12, usage.ReadBytes: 13, usage.WriteBytes: 14, usage.ReadChars: 15, usage.WriteChars: 16,
		usage.MaxRSS: 17 << 20, usage.VoluntarySwitches: 18, usage.InvoluntarySwitches: 19, usage.CPUDelay: uint64(22 * time.Second),
		usage.ExitNonzero: 20, usage.ExitSignal: 21, usage.Exact: 400, usage.Sampled: 70, usage.Rounded: 30, usage.Inferred: 5,
	}
	one := func(n uint64, cpu time.Duration) usage.Usage {
		return usage.Usage{usage.Started: n, usage.Ended: n, usage.User: uint64(cpu)}
	}
	return usage.Snapshot{
		Time: at(10),
		Groups: []usage.GroupTotal{
			{Group: groups.Group{ID: 2, Name: "a/b:c@d", Owner: 1000, Labels: map[string]string{"team": "x"}, Created: at(7), Closed: at(8)}, Usage: u},
			{Group: groups.Group{ID: 1, Name: "ci", Created: at(6)}},
		},
		AnyGroup: u, Ungrouped: one(7, 7*time.Second), Unattributed: one(8, 8*time.Millisecond),
		Total: usage.Usage{usage.Started: 516, usage.Ended: 515, usage.Live: 1, usage.User: uint64(9 * time.Second), usage.System: uint64(2 * time.Second), usage.Exact: 1, usage.Sampled: 2, usage.Rounded: 3, usage.Inferred: 4},
		Service: usage.Service{
			Created: at(1), Started: at(2), EventSource: "proc", Accounting: "own", Taskstats: "on", Exact: "off: no BTF", Suspended: true,
			Counts: counts(), ExactMissing: []string{"signal_struct.nvcsw"},
			BacklogBytes: 51, Processes: 52, Members: 53, StoreBytes: 54, ConservationRatio: 0.5, Unaccounted: 1500 * time.Millisecond,
		},
	}
}

// counts has another value for every counter.
func counts() (c tally.Counts) {
	for i := range c {
		c[i] = uint64(100 + i)
	}
	return c
}

// Status has every counter of the table under its name, and no other.
func TestStatusCounts(t *testing.T) {
	b, err := json.Marshal(StatusFromSnapshot(&usage.Snapshot{Service: usage.Service{Counts: counts()}}, ""))
	var status map[string]map[string]any
	if err == nil {
		var all map[string]any
		err = json.Unmarshal(b, &all)
		status = map[string]map[string]any{}
		for name, v := range all {
			if section, ok := v.(map[string]any); ok {
				status[name] = section
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	status["joined"] = status["records"]["joined"].(map[string]any)
	delete(status["records"], "joined")
	for c := range tally.Counters {
		i := c.Info()
		section := status[string(i.Section)]
		if got := section[i.Name]; got != float64(100+c) {
			t.Errorf("%s.%s is %v, want %d", i.Section, i.Name, got, 100+c)
		}
		delete(section, i.Name)
	}
	for _, name := range []tally.Section{tally.Events, tally.Records, tally.Joined, tally.Samples, tally.Rules, tally.Names, tally.Journal} {
		if left := status[string(name)]; len(left) > 0 {
			t.Errorf("%s has %v, which is in no table", name, left)
		}
	}
}

// golden compares v's JSON with testdata/name, which was checked by hand.
func golden(t *testing.T, name string, v any) {
	t.Helper()
	got, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestFromSnapshot(t *testing.T) {
	s := snapshot()
	r, err := FromSnapshot(&s, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "usage.json", r)
	golden(t, "status.json", StatusFromSnapshot(&s, "1.2.3"))
}

// Lists and objects stay that when there is nothing in them.
func TestFromSnapshotEmpty(t *testing.T) {
	r, err := FromSnapshot(&usage.Snapshot{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{r, StatusFromSnapshot(&usage.Snapshot{}, ""), FromGroup(&groups.Group{})} {
		if b, err := json.Marshal(v); err != nil || strings.Contains(string(b), "null") {
			t.Errorf("%T: %s, %v", v, b, err)
		}
	}
}

func TestFromSnapshotNames(t *testing.T) {
	s := snapshot()
	for _, tc := range []struct {
		name string
		ask  []string
		want []string
		err  string
	}{
		{name: "all", want: []string{"a/b:c@d", "ci"}},
		{name: "one", ask: []string{"ci"}, want: []string{"ci"}},
		{name: "order asked for", ask: []string{"ci", "a/b:c@d"}, want: []string{"ci", "a/b:c@d"}},
		{name: "twice", ask: []string{"ci", "ci"}, want: []string{"ci"}},
		{name: "unknown", ask: []string{"ci", "nix"}, err: "no group is named nix"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := FromSnapshot(&s, tc.ask, nil)
			if tc.err != "" {
				var e *Error
				if !errors.As(err, &e) || e.Status != 404 || e.Detail != tc.err {
					t.Fatalf("error %#v, want 404 %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, g := range r.Groups {
				got = append(got, g.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("groups (-want +got):\n%s", diff)
			}
			// The rest is about everything, whatever was asked for.
			if r.Total.ProcessesStarted != 516 || r.AnyGroup.ProcessesStarted != 501 {
				t.Errorf("total %d, any group %d; want 516, 501", r.Total.ProcessesStarted, r.AnyGroup.ProcessesStarted)
			}
		})
	}
}

func TestFromGroupCopiesLabels(t *testing.T) {
	g := groups.Group{Name: "a", Labels: map[string]string{"k": "v"}}
	w := FromGroup(&g)
	w.Labels["k"] = "other"
	if g.Labels["k"] != "v" {
		t.Error("a change of the wire group changed the tracker's group")
	}
}
