// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"fmt"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// A Prometheus is told 0 of a group first, then what there is; who else asks is told
// what there is, and so is a Prometheus of groups that were there before it.
func TestFirstValueIsZero(t *testing.T) {
	snap := &usage.Snapshot{Service: usage.Service{Started: started}}
	set := func(age time.Duration, ids ...uint32) {
		snap.Time = started.Add(age)
		snap.Groups = nil
		for _, id := range ids {
			born := started.Add(-time.Hour)
			if id > 2 {
				born = started.Add(time.Minute)
			}
			snap.Groups = append(snap.Groups, usage.GroupTotal{
				Group: groups.Group{ID: id, Name: fmt.Sprint("g", id), Created: born}, Usage: usage.Usage{usage.Ended: 7, usage.Live: 1},
			})
		}
	}
	e := New(Options{Snapshot: fixed(snap)})
	ask := func(from string, prometheus, hangsUp bool) string {
		ctx, hangUp := context.WithCancel(t.Context())
		defer hangUp()
		r := httptest.NewRequest("GET", "/metrics", nil).WithContext(ctx)
		r.RemoteAddr = from
		if prometheus {
			r.Header.Set(scraperHeader, "10")
		}
		if hangsUp {
			hangUp()
		}
		w := httptest.NewRecorder()
		e.Handler().ServeHTTP(w, r)
		var list []string
		for _, m := range regexp.MustCompile(`(?m)^elsa_group_processes_ended_total\{group="(g\d+)"\} (\d+)$`).FindAllStringSubmatch(w.Body.String(), -1) {
			list = append(list, m[1]+"="+m[2])
		}
		if !strings.Contains(w.Body.String(), `elsa_group_processes{group="g1"} 1`) {
			t.Error("a gauge is 0")
		}
		return strings.Join(list, " ")
	}
	for _, s := range []struct {
		what       string
		age        time.Duration
		ids        []uint32
		from       string
		prometheus bool
		hangsUp    bool
		want       string
	}{
		{"one that scraped the last run", 2 * time.Minute, []uint32{1, 2, 3}, "10.0.0.1:1", true, false, "g1=7 g2=7 g3=0"},
		{"again, over another connection", 3 * time.Minute, []uint32{1, 2, 3}, "10.0.0.1:2", true, false, "g1=7 g2=7 g3=7"},
		{"a person", 3 * time.Minute, []uint32{1, 2, 3, 4}, "10.0.0.1:2", false, false, "g1=7 g2=7 g3=7 g4=7"},
		{"it did not get it", 3 * time.Minute, []uint32{1, 2, 3, 4}, "10.0.0.1:2", true, true, "g1=7 g2=7 g3=7 g4=0"},
		{"so it is told again", 4 * time.Minute, []uint32{1, 2, 3, 4}, "10.0.0.1:2", true, false, "g1=7 g2=7 g3=7 g4=0"},
		{"and then what there is", 5 * time.Minute, []uint32{1, 2, 3, 4}, "10.0.0.1:2", true, false, "g1=7 g2=7 g3=7 g4=7"},
		{"another begins later", time.Hour, []uint32{1, 2, 3, 4}, "10.0.0.2:1", true, false, "g1=7 g2=7 g3=7 g4=7"},
		{"and is told of new ones", time.Hour, []uint32{1, 4, 5}, "10.0.0.2:1", true, false, "g1=7 g4=7 g5=0"},
		{"as is the first", time.Hour, []uint32{1, 4, 5}, "10.0.0.1:2", true, false, "g1=7 g4=7 g5=0"},
	} {
		set(s.age, s.ids...)
		if diff := cmp.Diff(s.want, ask(s.from, s.prometheus, s.hangsUp)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.what, diff)
		}
	}
	for i := range 3 * maxScrapers {
		ask(fmt.Sprint("10.1.0.", strconv.Itoa(i), ":1"), true, false)
	}
	if n := len(e.scrapers.known); n > maxScrapers {
		t.Errorf("%d scrapers are remembered, want %d at most", n, maxScrapers)
	}
}

// The labels of a group become labels of Prometheus, whatever they are called.
func TestGroupInfo(t *testing.T) {
	labels := map[string]string{"team": "a\xffb", "9": "n", "cost center": "1", "cost-center": "2", "instance": "i", "group": "g", "__x": "y", "größe": strings.Repeat("x", 500)}
	for i := range 40 {
		labels[fmt.Sprintf("z%02d", i)] = "v"
	}
	var s infoSeries
	g := groups.Group{Name: "web", Labels: labels}
	s.set(&g, "ana")
	got := map[string]string{}
	for _, l := range s.metric.Label {
		got[l.GetName()] = l.GetValue()
	}
	want := map[string]string{
		"group": "web", "owner": "ana", "team": "ab", "label_9": "n", "cost_center": "1", "cost_center_": "2", "label_instance": "i", "label_group": "g",
		"label___x": "y", "gr__e": strings.Repeat("x", maxInfoValue),
	}
	for i := range maxInfoLabels - 8 {
		want[fmt.Sprintf("z%02d", i)] = "v"
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	g.Labels = map[string]string{}
	s.set(&g, "ben")
	if len(s.metric.Label) != 2 || s.metric.Label[1].GetValue() != "ben" {
		t.Errorf("after a change: %v", s.metric.Label)
	}
}
