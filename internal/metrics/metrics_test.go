// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"compress/gzip"
	"context"
	"flag"
	"io"
	"math"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"elsa/internal/tally"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var (
	created = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	started = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
)

// example is a small bill whose figures are all different.
func example() *usage.Snapshot {
	ci := usage.Usage{
		usage.Started: 501, usage.Ended: 499, usage.Live: 2, usage.User: uint64(12*time.Second + 345678901), usage.System: uint64(3 * time.Second),
		usage.MinorFaults: 70123, usage.MajorFaults: 5, usage.ReadBytes: 4096, usage.WriteBytes: 1 << 33, usage.MaxRSS: 48 << 20, usage.CPUDelay: uint64(2500 * time.Millisecond),
		usage.Exact: 490, usage.Sampled: 6, usage.Rounded: 3, usage.Inferred: 1,
	}
	web := usage.Usage{usage.Started: 3, usage.Live: 3, usage.User: uint64(1500 * time.Millisecond), usage.System: uint64(250 * time.Millisecond), usage.MaxRSS: 1 << 20}
	ungrouped := usage.Usage{usage.Started: 90, usage.Ended: 80, usage.Live: 10, usage.User: uint64(time.Minute), usage.System: uint64(30 * time.Second), usage.Exact: 80}
	unattributed := usage.Usage{usage.Ended: 2, usage.User: uint64(20 * time.Millisecond), usage.Rounded: 2}
	s := &usage.Snapshot{
		Time: started.Add(time.Hour),
		Groups: []usage.GroupTotal{
			{Group: groups.Group{ID: 1, Name: "ci/build:42", Created: created}, Usage: ci},
			{Group: groups.Group{ID: 2, Name: "web", Owner: 1000, Created: created.Add(time.Hour), Labels: map[string]string{"team": "shop", "cost-center": "7\n", "owner": "x"}}, Usage: web},
		},
		Ungrouped: ungrouped, Unattributed: unattributed, Settled: usage.Settled{Exact: 570, Sampled: 6, Rounded: 5},
		Service: usage.Service{
			Created: created.Add(-time.Hour), Started: started,
			EventSource: "proc", Accounting: "follow:/var/log/account/pacct", Taskstats: "on", Exact: "off: no BTF",
			Counts: tally.Counts{
				tally.Forks: 600, tally.Execs: 400, tally.Exits: 590, tally.OtherEvents: 7, tally.EventsLost: 3, tally.EventsRejected: 1, tally.Rescans: 2, tally.Lines: 581, tally.Taskstats: 570, tally.Exact: 569, tally.TaskstatsLost: 4, tally.ExactLost: 6, tally.SkippedBytes: 64, tally.LinesLost: 9, tally.Gaps: 2, tally.Missing: 8,
				tally.JoinedLedger: 5, tally.JoinedExact: 570,
			},
			BacklogBytes: 640, Processes: 15, Members: 5, StoreBytes: 65536, ConservationRatio: 0.999,
		},
	}
	for _, u := range []*usage.Usage{&ci, &web} {
		s.AnyGroup.Add(u)
		s.Total.Add(u)
	}
	s.Total.Add(&ungrouped)
	s.Total.Add(&unattributed)
	return s
}

func fixed(s *usage.Snapshot) func(context.Context) *usage.Snapshot {
	return func(context.Context) *usage.Snapshot { return s }
}

// scrape fetches from the exporter's handler as Accept asks and returns the
// body.
func scrape(t *testing.T, e *Exporter, accept string) string {
	t.Helper()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	e.Handler().ServeHTTP(w, r)
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// ours leaves the lines of the service's own metrics, without what differs
// from build to build.
func ours(body string) string {
	var b strings.Builder
	family := regexp.MustCompile(`^(# (HELP|TYPE|UNIT) )?elsa_`)
	version := regexp.MustCompile(`goversion="[^"]*"`)
	for line := range strings.Lines(body) {
		if family.MatchString(line) && !strings.Contains(line, "elsa_commit_duration_seconds_created") {
			b.WriteString(version.ReplaceAllString(line, `goversion="go"`))
		}
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func exampleExporter() *Exporter {
	e := New(Options{
		Budgets:  func() []Budget { return []Budget{{"ci/", 0.5}, {"web", 1.25}} },
		Owner:    func(uid uint32) string { return map[uint32]string{0: "root", 1000: "ana"}[uid] },
		Snapshot: fixed(example()), CreatedSamples: true, Version: "1.2.3", Revision: "abcdef0",
	})
	e.ObserveCommit(3 * time.Millisecond)
	e.ObserveCommit(700 * time.Millisecond)
	return e
}

func TestGolden(t *testing.T) {
	e := exampleExporter()
	golden(t, "scrape.txt", ours(scrape(t, e, "text/plain;version=0.0.4")))
	golden(t, "scrape.openmetrics", ours(scrape(t, e, "application/openmetrics-text;version=1.0.0")))
}

// untransacted hides done from tools that know only [prometheus.Gatherer]. Its
// families must not be used after the next Gather.
type untransacted struct{ e *Exporter }

func (u untransacted) Gather() ([]*dto.MetricFamily, error) {
	families, done, err := u.e.Gather()
	done()
	return families, err
}

// TestFamilies states by hand what must be in a scrape; the golden files only
// say that nothing changed.
func TestFamilies(t *testing.T) {
	want := `
# HELP elsa_group_cpu_seconds_total CPU time used by processes in the group, ended and live. A process counts in each of its groups.
# TYPE elsa_group_cpu_seconds_total counter
elsa_group_cpu_seconds_total{group="(unattributed)",mode="system"} 0
elsa_group_cpu_seconds_total{group="(unattributed)",mode="user"} 0.02
elsa_group_cpu_seconds_total{group="(ungrouped)",mode="system"} 30
elsa_group_cpu_seconds_total{group="(ungrouped)",mode="user"} 60
elsa_group_cpu_seconds_total{group="ci/build:42",mode="system"} 3
elsa_group_cpu_seconds_total{group="ci/build:42",mode="user"} 12.345678901
elsa_group_cpu_seconds_total{group="web",mode="system"} 0.25
elsa_group_cpu_seconds_total{group="web",mode="user"} 1.5
# HELP elsa_group_info The owner and the labels of the group, 16 of them at most; always 1.
# TYPE elsa_group_info gauge
elsa_group_info{group="ci/build:42",owner="root"} 1
elsa_group_info{cost_center="7\n",group="web",label_owner="x",owner="ana",team="shop"} 1
# HELP elsa_ungrouped_processes Live processes in no group. The name will go: use group="(ungrouped)" of elsa_group_ instead.
# TYPE elsa_ungrouped_processes gauge
elsa_ungrouped_processes 10
# HELP elsa_records_lost_total Accounting records the kernel could not deliver.
# TYPE elsa_records_lost_total counter
elsa_records_lost_total{source="bsd"} 9
elsa_records_lost_total{source="exact"} 6
elsa_records_lost_total{source="taskstats"} 4
`
	err := testutil.GatherAndCompare(untransacted{exampleExporter()}, strings.NewReader(want),
		"elsa_group_cpu_seconds_total", "elsa_group_info", "elsa_ungrouped_processes", "elsa_records_lost_total")
	if err != nil {
		t.Error(err)
	}
}

func TestLint(t *testing.T) {
	problems, err := testutil.GatherAndLint(untransacted{exampleExporter()})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestConsistent has client_golang's registry check what it would have
// gathered itself: unique names, equal types, no series twice.
func TestConsistent(t *testing.T) {
	families, err := prometheus.Gatherers{untransacted{exampleExporter()}}.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(families); i++ {
		if families[i-1].GetName() >= families[i].GetName() {
			t.Errorf("%s before %s", families[i-1].GetName(), families[i].GetName())
		}
	}
}

func TestCreated(t *testing.T) {
	families, done, err := exampleExporter().Gather()
	defer done()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]time.Time{
		"elsa_group_read_bytes_total":            created.Add(-time.Hour), // what is in no group
		"elsa_ungrouped_cpu_seconds_total":       created.Add(-time.Hour),
		"elsa_any_group_processes_ended_total":   created.Add(-time.Hour),
		"elsa_unattributed_page_faults_total":    created.Add(-time.Hour),
		"elsa_deaths_total":                      created.Add(-time.Hour),
		"elsa_events_lost_total":                 started,
		"elsa_records_joined_total":              started,
		"elsa_ungrouped_processes_started_total": created.Add(-time.Hour),
	}
	got := map[string]time.Time{}
	for _, mf := range families {
		name := mf.GetName()
		if mf.GetType() == dto.MetricType_COUNTER && strings.HasPrefix(name, "elsa_") {
			for _, m := range mf.Metric {
				if m.GetCounter().GetCreatedTimestamp() == nil {
					t.Errorf("%s has no created timestamp", name)
				}
			}
		}
		if _, ok := want[name]; ok {
			got[name] = mf.Metric[0].GetCounter().GetCreatedTimestamp().AsTime()
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
}

// values returns the series of one family by their group and second label, without
// those of what is in no group.
func values(t *testing.T, e *Exporter, name string) map[string]float64 {
	t.Helper()
	families, done, err := e.Gather()
	defer done()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, mf := range families {
		if mf.GetName() != name {
			continue
		}
		for _, m := range mf.Metric {
			var key []string
			for _, l := range m.Label {
				key = append(key, strings.Clone(l.GetValue()))
			}
			if len(key) > 0 && (key[0] == UngroupedGroup || key[0] == UnattributedGroup) {
				continue
			}
			v := m.GetGauge().GetValue()
			if m.Counter != nil {
				v = m.GetCounter().GetValue()
			}
			got[strings.Join(key, " ")] = v
		}
	}
	return got
}

func TestOverflow(t *testing.T) {
	snap := &usage.Snapshot{}
	e := New(Options{Snapshot: func(context.Context) *usage.Snapshot { return snap }, MaxGroups: 2})
	at := started
	type group struct {
		id     uint32
		name   string
		live   uint64
		faults uint64
	}
	steps := []struct {
		name   string
		groups []group
		want   map[string]float64 // minor faults
		omit   float64
		live   float64 // of the overflow
	}{
		{"below the limit", []group{{1, "a", 1, 10}, {2, "b", 0, 20}},
			map[string]float64{"a minor": 10, "b minor": 20}, 0, 0},
		{"a live one displaces an ended one; what that used is not added again",
			[]group{{1, "a", 1, 11}, {2, "b", 0, 20}, {3, "c", 4, 5}},
			map[string]float64{"(other) minor": 0, "a minor": 11, "c minor": 5}, 1, 0},
		{"the older live ones stay; a new one counts from its start",
			[]group{{1, "a", 1, 12}, {2, "b", 0, 20}, {3, "c", 4, 6}, {4, "d", 7, 100}},
			map[string]float64{"(other) minor": 100, "a minor": 12, "c minor": 6}, 2, 7},
		{"deleting an omitted group takes nothing off",
			[]group{{1, "a", 1, 12}, {3, "c", 4, 6}, {4, "d", 7, 103}},
			map[string]float64{"(other) minor": 103, "a minor": 12, "c minor": 6}, 1, 7},
		{"the last use of one that is shown again is kept, and so is the sum",
			[]group{{1, "a", 1, 12}, {4, "d", 7, 104}},
			map[string]float64{"(other) minor": 104, "a minor": 12, "d minor": 104}, 0, 0},
		{"a name used again is another group",
			[]group{{1, "a", 1, 12}, {4, "d", 7, 104}, {9, "e", 1, 1}, {10, "f", 1, 6}},
			map[string]float64{"(other) minor": 111, "a minor": 12, "d minor": 104}, 2, 2},
		{"the newer of two that ended stays; one that was renamed is the same",
			[]group{{1, "a", 0, 12}, {4, "d", 7, 104}, {10, "e", 0, 50}},
			map[string]float64{"(other) minor": 155, "d minor": 104, "e minor": 50}, 1, 0},
	}
	for _, s := range steps {
		at = at.Add(time.Second)
		snap = &usage.Snapshot{Time: at}
		for _, g := range s.groups {
			snap.Groups = append(snap.Groups, usage.GroupTotal{
				Group: groups.Group{ID: g.id, Name: g.name, Created: created},
				Usage: usage.Usage{usage.Live: g.live, usage.MinorFaults: g.faults},
			})
		}
		got := values(t, e, "elsa_group_page_faults_total")
		for k := range got {
			if strings.HasSuffix(k, "major") {
				delete(got, k)
			}
		}
		if diff := cmp.Diff(s.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.name, diff)
		}
		if got := values(t, e, "elsa_groups_omitted")[""]; got != s.omit {
			t.Errorf("%s: %v omitted, want %v", s.name, got, s.omit)
		}
		if got := values(t, e, "elsa_group_processes")[OverflowGroup]; got != s.live {
			t.Errorf("%s: %v live in the overflow, want %v", s.name, got, s.live)
		}
	}
	if err := groups.CheckName(OverflowGroup); err == nil {
		t.Errorf("a group may be called %s", OverflowGroup)
	}
}

// TestOvertaken has a scrape work on an older snapshot than one before it.
func TestOvertaken(t *testing.T) {
	at := func(sec int, faults uint64) *usage.Snapshot {
		return &usage.Snapshot{Time: started.Add(time.Duration(sec) * time.Second), Groups: []usage.GroupTotal{
			{Group: groups.Group{ID: 1, Name: "a"}, Usage: usage.Usage{usage.Live: 1}},
			{Group: groups.Group{ID: 2, Name: "b"}, Usage: usage.Usage{usage.Live: 1, usage.MinorFaults: faults}},
		}}
	}
	o := overflow{limit: 1}
	for _, s := range []struct {
		snap *usage.Snapshot
		want uint64
	}{{at(1, 10), 0}, {at(3, 30), 20}, {at(2, 20), 20}, {at(3, 30), 20}, {at(4, 31), 21}} {
		_, omitted, sum, since := o.split(s.snap)
		if sum[usage.MinorFaults] != s.want || omitted != 1 || !since.Equal(started.Add(time.Second)) {
			t.Errorf("at %v: %d faults of %d groups since %v; want %d of 1", s.snap.Time, sum[usage.MinorFaults], omitted, since, s.want)
		}
	}
}

func TestNoGroups(t *testing.T) {
	body := scrape(t, New(Options{Snapshot: fixed(&usage.Snapshot{Time: started})}), "text/plain")
	if strings.Contains(body, "elsa_group_info") || !strings.Contains(body, `elsa_group_processes{group="(ungrouped)"} 0`) || !strings.Contains(body, "elsa_groups 0\n") {
		t.Errorf("scrape without groups:\n%s", ours(body))
	}
}

func TestCompress(t *testing.T) {
	for _, c := range []struct {
		header string
		want   bool
	}{
		{"", false}, {"gzip", true}, {"identity, GZIP", true}, {"br;q=1.0, gzip;q=0.8", true},
		{"gzip;q=0", false}, {"gzip; q=0.000", false}, {"deflate", false}, {"x-gzip2", false}, {"gzip;q=x", false},
	} {
		if got := acceptsGzip([]string{c.header}); got != c.want {
			t.Errorf("acceptsGzip(%q) = %v, want %v", c.header, got, c.want)
		}
	}
	e := exampleExporter()
	plain := scrape(t, e, "text/plain")
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	e.Handler().ServeHTTP(w, r)
	if got := w.Header().Get("Content-Encoding"); got != "gzip" {
		t.Fatalf("Content-Encoding %q", got)
	}
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ours(plain), ours(string(body))); diff != "" {
		t.Errorf("compressed (-plain +gzip):\n%s", diff)
	}
}

// TestPages has pages grow, shrink and change hands: no series may keep what
// an earlier scrape wrote there.
func TestPages(t *testing.T) {
	var snap *usage.Snapshot
	e := New(Options{Snapshot: func(context.Context) *usage.Snapshot { return snap }})
	for _, n := range []int{0, 1, chunkRows - 1, chunkRows, 3*chunkRows + 1, 2, 20 * chunkRows, 1} {
		snap = many(n)
		got := values(t, e, "elsa_group_cpu_seconds_total")
		if len(got) != 2*n {
			t.Errorf("%d groups: %d series, want %d", n, len(got), 2*n)
		}
		for _, g := range snap.Groups {
			if v := got[g.Group.Name+" user"]; math.Abs(v-time.Duration(g.Usage[usage.User]).Seconds()) > 1e-9 {
				t.Errorf("%d groups: %s has %v s, want %v", n, g.Group.Name, v, time.Duration(g.Usage[usage.User]).Seconds())
			}
		}
	}
	// Two scrapes at a time do not share a page.
	first, done1, _ := e.Gather()
	second, done2, _ := e.Gather()
	defer done1()
	defer done2()
	for i := range first {
		if first[i] == second[i] {
			t.Errorf("%s is shared by two scrapes", first[i].GetName())
		}
	}
}
