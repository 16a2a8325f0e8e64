// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"elsa/internal/fault"
	"elsa/internal/query"
	"elsa/internal/ship"
	"elsa/pkg/usage"
)

// world is hosts that deliver to one sink, through faults.
type world struct {
	t     *rapid.T
	clock *clock
	sink  *memory
	old   *memory // a replica that lags behind
	past  map[string][]byte
	nodes []*node
	spool map[*node]string
	ship  map[*node]*ship.Shipper
	crash string // where the next round ends

	writers int
}

// memoryDir is a directory in memory, if there is one: many small files are synced.
var memoryDir = func() string {
	if st, err := os.Stat("/dev/shm"); err == nil && st.IsDir() {
		return "/dev/shm"
	}
	return ""
}()

// crashed is what a round that is killed panics with.
type crashed struct{}

func (w *world) open(n *node) {
	s, err := ship.New(ship.Options{
		Writer: func() string { w.writers++; return fmt.Sprintf("%08d", w.writers) },
		Place:  ship.Files{Sink: w.sink}, Cells: n, Spool: w.spool[n], Bounds: ship.Bounds{Bytes: 1 << 30, Hours: 1000}, Now: func() time.Time { return w.clock.now },
		At: func(point string) {
			if point == w.crash {
				panic(crashed{})
			}
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.ship[n] = s
}

// round lets a host deliver, until it ends or is killed.
func (w *world) round(n *node) (err error) {
	defer func() {
		w.crash = ""
		switch p := recover().(type) {
		case nil:
		case crashed:
			err = errors.New("killed")
			w.open(n)
		default:
			panic(p)
		}
	}()
	_, err = w.ship[n].Round(w.t.Context())
	return err
}

func (w *world) reader(sink ship.Sink) *Reader {
	return &Reader{Sink: sink, Now: func() time.Time { return w.clock.now }, Damage: func(error) {}}
}

// check: where the line says that a host is complete, all is there that the host had when
// it was asked last.
func (w *world) check(sink ship.Sink, last bool) {
	w.t.Helper()
	r := w.reader(sink)
	since := w.clock.now.Add(-40 * time.Hour)
	got, complete, err := bills(w.t.Context(), r, usage.HourOf(since.Unix()))
	if err != nil {
		w.t.Fatal(err)
	}
	var total uint64 // of the report
	if last {
		report, err := r.Report(w.t.Context(), &query.Fleet{By: "host", Since: since})
		if err != nil {
			w.t.Fatal(err)
		}
		complete, total = report.Fleet, uint64(report.Total.CPUUserSeconds*1e9+0.5)
	}
	if last && (complete.Complete != len(w.nodes) || complete.Hosts != len(w.nodes)) {
		w.t.Fatalf("in the end: %+v", complete)
	}
	manifests, err := ship.Files{Sink: sink}.Manifests(w.t.Context(), "", func(err error) { w.t.Fatal(err) })
	if err != nil {
		w.t.Fatal(err)
	}
	incomplete := map[string]bool{}
	for _, h := range complete.Incomplete {
		incomplete[h.Source] = true
	}
	var sum usage.Usage
	for id, s := range sourcesOf(manifests) {
		i := slices.IndexFunc(w.nodes, func(n *node) bool { return n.source == id })
		n := w.nodes[i]
		through := s.last().Through
		want, known := n.answers[through]
		if incomplete[id] || !known {
			if last {
				w.t.Fatalf("%s: %+v, asked then %v", n.name, complete, known)
			}
			continue
		}
		have := orEmpty(got[n.name])
		if diff := cmp.Diff(want, have); last && diff != "" {
			w.t.Fatalf("%s, which is complete to %v, is not (-local +fleet):\n%s", n.name, through, diff)
		}
		// Each hour is as it was then, or as it was asked for later.
		for hour, cells := range byHour(want) {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(n.answers)), func(at time.Time) bool {
				return !at.Before(through) && cmp.Equal(byHour(n.answers[at])[hour], byHour(have)[hour])
			}) {
				w.t.Fatalf("%s, which is complete to %v, is not (-local +fleet):\n%s", n.name, through, cmp.Diff(cells, byHour(have)[hour]))
			}
		}
		for _, u := range want {
			sum.Add(&u)
		}
	}
	if last && sum[usage.User] != total {
		w.t.Fatalf("the report has %d ns, Σ local is %d ns", total, sum[usage.User])
	}
}

// byHour are cells by their hours, by the first name that a group had.
func byHour(all map[string]usage.Usage) map[string]map[string]usage.Usage {
	hours := map[string]map[string]usage.Usage{}
	for name, u := range all {
		hour, rest, _ := strings.Cut(strings.Replace(name, " www ", " web ", 1), " ")
		if hours[hour] == nil {
			hours[hour] = map[string]usage.Usage{}
		}
		hours[hour][rest] = u
	}
	return hours
}

func orEmpty(m map[string]usage.Usage) map[string]usage.Usage {
	if m == nil {
		return map[string]usage.Usage{}
	}
	return m
}

// TestModelFleet: whatever is cut off, killed, repeated, lost or late, the fleet's bill is
// the sum of the local ones, and where it is not yet the line says so.
func TestModelFleet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: t, clock: &clock{time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)}, sink: newMemory(), past: map[string][]byte{}, spool: map[*node]string{}, ship: map[*node]*ship.Shipper{}}
		w.old = w.sink.clone()
		checked, lagged := w.sink.clone(), w.sink.clone()
		for i := range 2 {
			n := newNode(w.clock, i+1)
			dir, err := os.MkdirTemp(memoryDir, "spool")
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			w.nodes, w.spool[n] = append(w.nodes, n), dir
			w.open(n)
		}
		any := func() *node { return w.nodes[rapid.IntRange(0, len(w.nodes)-1).Draw(t, "node")] }
		round := func(t *rapid.T) {
			w.t = t
			maps.Copy(w.past, w.sink.files)
			w.round(any())
		}
		bill := func(t *rapid.T) {
			n := any()
			hour := usage.HourOf(w.clock.now.Unix()) - uint32(rapid.IntRange(0, 5).Draw(t, "hours ago"))
			k := key{uint32(rapid.IntRange(0, 3).Draw(t, "group")), uint32(rapid.SampledFrom([]int{0, 1000}).Draw(t, "uid")), rapid.SampledFrom([]string{"make", "sh"}).Draw(t, "command")}
			n.bill(hour, k, &usage.Usage{usage.Ended: 1, usage.User: rapid.Uint64Range(1, 1e9).Draw(t, "user"), usage.MaxRSS: rapid.Uint64Range(0, 1e9).Draw(t, "rss")})
		}
		file := func(t *rapid.T, of map[string][]byte) string {
			names := slices.DeleteFunc(slices.Sorted(maps.Keys(of)), func(name string) bool { return strings.HasPrefix(name, ship.Manifests) })
			if len(names) == 0 {
				return ""
			}
			return rapid.SampledFrom(names).Draw(t, "file")
		}
		t.Repeat(map[string]func(*rapid.T){
			"bill": bill, "bill more": bill, "deliver": round, "deliver again": round,
			"deliver through faults": func(t *rapid.T) {
				at, after := rapid.IntRange(0, 12).Draw(t, "operation"), rapid.Bool().Draw(t, "after it was done")
				w.sink.fault = func(op, _ string) (error, error) {
					at--
					switch err := errors.New("cut off"); {
					case at != -1:
						return nil, nil
					case after:
						return nil, err
					default:
						return err, nil
					}
				}
				round(t)
				w.sink.fault = nil
			},
			"killed": func(t *rapid.T) {
				w.crash = rapid.SampledFrom(fault.ShipPoints).Draw(t, "point")
				round(t)
			},
			"restart": func(t *rapid.T) {
				n := any()
				n.run++
				w.open(n)
			},
			"rename": func(t *rapid.T) { any().groups[3] = rapid.SampledFrom([]string{"web", "www"}).Draw(t, "name") },
			"spool lost": func(t *rapid.T) {
				n := any()
				os.RemoveAll(w.spool[n])
				w.open(n)
			},
			"late duplicate": func(t *rapid.T) {
				if name := file(t, w.past); name != "" && w.sink.files[name] == nil {
					w.sink.files[name] = w.past[name]
				}
			},
			"file lost": func(t *rapid.T) { delete(w.sink.files, file(t, w.sink.files)) },
			"file cut": func(t *rapid.T) {
				if name := file(t, w.sink.files); name != "" && len(w.sink.files[name]) > 5 {
					w.sink.files[name] = w.sink.files[name][:len(w.sink.files[name])-5]
				}
			},
			"replica": func(*rapid.T) { w.old = w.sink.clone() },
			"": func(t *rapid.T) {
				w.t = t
				w.clock.now = w.clock.now.Add(time.Minute)
				// What did not change is as right as it was: answers that are told later only
				// allow more.
				if !w.sink.equal(checked) {
					w.check(w.sink, false)
					checked = w.sink.clone()
				}
				lagging := w.sink.clone() // has new manifests and old files
				for name := range lagging.files {
					if _, ok := w.old.files[name]; !ok && !strings.HasPrefix(name, ship.Manifests) {
						delete(lagging.files, name)
					}
				}
				if !lagging.equal(checked) && !lagging.equal(lagged) {
					w.check(lagging, false)
					lagged = lagging
				}
			},
		})
		for _, n := range w.nodes { // each names groups as they are now
			n.run++
		}
		for range 4 {
			for _, n := range w.nodes {
				w.clock.now = w.clock.now.Add(time.Second)
				if err := w.round(n); err != nil {
					t.Logf("%s: %v", n.name, err)
				}
			}
		}
		w.t = t
		w.check(w.sink, true)
	})
}
