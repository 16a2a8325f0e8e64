// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"elsa/internal/kerneltest"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// server is Prometheus itself, from Debian's package of that name.
var server = kerneltest.Program("prometheus", "prometheus")

// prom is a running Prometheus.
type prom struct{ url string }

// runPrometheus has a Prometheus scrape target four times a second, with the
// rules of dist, until t ends.
func runPrometheus(t *testing.T, target string, flags ...string) *prom {
	t.Helper()
	dir := t.TempDir()
	rules, err := filepath.Abs("../../dist/prometheus/elsa.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`
global: {scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms}
rule_files: [%q]
scrape_configs:
  - {job_name: elsa, static_configs: [{targets: [%q]}]}
`, rules, target)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	// Prometheus does not tell which port it took, so it gets one that was free.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cmd := exec.Command("prometheus", append(flags, "--config.file="+filepath.Join(dir, "prometheus.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr, "--log.level=warn")...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus: %s", &log)
		}
	})
	return &prom{"http://" + addr}
}

// query evaluates expr and returns the values by their labels, printed.
func (p *prom) query(expr string) (map[string]float64, error) {
	resp, err := http.Get(p.url + "/api/v1/query?query=" + url.QueryEscape(expr))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error string
		Data  struct {
			ResultType string
			Result     []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("%w: %.200s", err, body)
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("query %s: %s", expr, answer.Error)
	}
	values := map[string]float64{}
	for _, r := range answer.Data.Result {
		v, err := strconv.ParseFloat(r.Value[1].(string), 64)
		if err != nil {
			return nil, err
		}
		delete(r.Metric, "instance")
		delete(r.Metric, "job")
		values[fmt.Sprint(r.Metric)] = v
	}
	return values, nil
}

// await evaluates expr until ok likes its only value, and fails t if that takes
// too long.
func (p *prom) await(t *testing.T, expr string, ok func(float64) bool) {
	t.Helper()
	var last any
	defer func() {
		if t.Failed() {
			t.Logf("%s is %v", expr, last)
		}
	}()
	kerneltest.Eventually(t, expr, func() bool {
		values, err := p.query(expr)
		if err != nil {
			last = err
			return false
		}
		last = values
		for _, v := range values {
			return len(values) == 1 && ok(v)
		}
		return false
	})
}

func about(want, part float64) func(float64) bool {
	return func(v float64) bool { return math.Abs(v-want) <= part*want }
}

// churn returns the figures of a machine at a moment after begin. Group "ci"
// uses 1.5 cores in 40 processes a second; group "late" is made after two
// seconds and uses half a core from then on.
func churn(begin time.Time) *usage.Snapshot {
	now := time.Now()
	cpu := func(since time.Time, cores float64) time.Duration {
		return time.Duration(max(0, float64(now.Sub(since))) * cores)
	}
	n := uint64(now.Sub(begin).Seconds() * 40)
	s := example()
	s.Time = now
	s.Service.Created, s.Service.Started = begin, begin
	for c := range s.Service.Counts {
		s.Service.Counts[c] = n
	}
	s.Groups = []usage.GroupTotal{{
		Group: groups.Group{ID: 1, Name: "ci", Created: begin},
		Usage: usage.Usage{
			usage.User: uint64(cpu(begin, 1)), usage.System: uint64(cpu(begin, 0.5)), usage.Started: n + 2, usage.Ended: n, usage.Live: 2, usage.Exact: n,
			usage.MaxRSS: 1 << 26, usage.ReadBytes: n * 4096, usage.WriteBytes: n * 512, usage.MinorFaults: n * 300,
		},
	}}
	if late := begin.Add(2 * time.Second); now.After(late) {
		s.Groups = append(s.Groups, usage.GroupTotal{
			Group: groups.Group{ID: 2, Name: "late", Created: late},
			Usage: usage.Usage{usage.User: uint64(cpu(late, 0.5)), usage.Started: 1, usage.Live: 1},
		})
	}
	s.AnyGroup, s.Total = usage.Usage{}, usage.Usage{}
	for i := range s.Groups {
		s.AnyGroup.Add(&s.Groups[i].Usage)
	}
	s.Ungrouped = usage.Usage{usage.User: uint64(cpu(begin, 0.25))}
	for _, u := range []*usage.Usage{&s.AnyGroup, &s.Ungrouped, &s.Unattributed} {
		s.Total.Add(u)
	}
	return s
}

// TestPrometheus has a real Prometheus scrape the handler, across a restart of
// the service, asks it what people ask, and has it evaluate every expression
// of the dashboard and of the rules.
func TestPrometheus(t *testing.T) {
	kerneltest.Need(t, server)
	begin := time.Now()
	// Every run of the service has an exporter of its own.
	var handler atomic.Pointer[http.Handler]
	run := func() {
		var e *Exporter
		e = New(Options{
			Snapshot: func(context.Context) *usage.Snapshot {
				e.ObserveCommit(2 * time.Millisecond) // for the histogram to have something to show
				return churn(begin)
			},
			CreatedSamples: true, Version: "1",
		})
		h := e.Handler()
		handler.Store(&h)
	}
	run()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*handler.Load()).ServeHTTP(w, r)
	}))
	defer web.Close()
	p := runPrometheus(t, strings.TrimPrefix(web.URL, "http://"))

	p.await(t, `count_over_time(elsa_group_processes{group="ci"}[1m])`, func(v float64) bool { return v >= 12 })
	run() // the restart
	p.await(t, `count_over_time(elsa_group_processes{group="late"}[1m])`, func(v float64) bool { return v >= 20 })

	p.await(t, `sum by (group) (rate(elsa_group_cpu_seconds_total{group="ci"}[4s]))`, about(1.5, 0.05))
	p.await(t, `rate(elsa_group_processes_ended_total{group="ci"}[4s])`, about(40, 0.05))
	p.await(t, `sum(rate(elsa_any_group_cpu_seconds_total[4s]))`, about(2, 0.05))
	p.await(t, `resets(elsa_group_cpu_seconds_total{group="ci", mode="user"}[1m])`, func(v float64) bool { return v == 0 })
	// All that Prometheus saw of the CPU time, over the restart, and no more.
	p.await(t, `increase(elsa_group_cpu_seconds_total{group="ci", mode="user"}[1m])
		/ (max_over_time(elsa_group_cpu_seconds_total{group="ci", mode="user"}[1m]) - min_over_time(elsa_group_cpu_seconds_total{group="ci", mode="user"}[1m]))`,
		func(v float64) bool { return v >= 0.99 && v < 1.2 }) // it extrapolates to the window's ends
	p.await(t, `elsa_group_cpu_seconds_created{group="late", mode="user"} - on () group_left elsa_group_cpu_seconds_created{group="ci", mode="user"}`,
		about(2, 0.01))

	for _, e := range expressions(t) {
		// A scrape that a busy machine did not answer in time leaves a gap.
		kerneltest.Eventually(t, "an answer to "+e, func() bool {
			values, err := p.query(e)
			if err != nil {
				t.Fatalf("%s: %v", e, err)
			}
			return len(values) > 0
		})
	}
}

// A job of a second that ran between two scrapes is on the bill in full, whatever of
// Prometheus's features is switched on: by protobuf, and with zeros of its own where it
// knows them, or by text.
func TestPrometheusShortJob(t *testing.T) {
	kerneltest.Need(t, server)
	for name, flags := range map[string][]string{
		"off": nil, "on": {"--enable-feature=native-histograms,created-timestamp-zero-ingestion"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			var scrapes, ran atomic.Int64
			var accept atomic.Value
			e := New(Options{Snapshot: func(context.Context) *usage.Snapshot {
				s := churn(begin)
				if ran.Load() > 0 {
					s.Groups = append(s.Groups, usage.GroupTotal{
						Group: groups.Group{ID: 77, Name: "quick", Created: time.Unix(0, ran.Load()), Closed: time.Unix(0, ran.Load())},
						Usage: usage.Usage{usage.User: uint64(1190 * time.Millisecond), usage.Started: 5, usage.Ended: 5},
					})
				}
				return s
			}})
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				e.Handler().ServeHTTP(w, r)
				accept.Store(r.Header.Get("Accept"))
				if scrapes.Add(1) == 5 {
					ran.Store(time.Now().UnixNano())
				}
			}))
			defer web.Close()
			p := runPrometheus(t, strings.TrimPrefix(web.URL, "http://"), flags...)
			exact := func(v float64) bool { return math.Abs(v-1.19) < 1e-9 }
			p.await(t, fill.Replace(billed(t))+` and on (group) elsa_group_processes{group="quick"}`, exact)
			p.await(t, `instance_group:elsa_group_cpu_seconds:increase1h{group="quick"}`, exact)
			// What people write by themselves: it extrapolates to the ends.
			p.await(t, `sum(increase(elsa_group_cpu_seconds_total{group="quick"}[1m]))`, about(1.19, 0.3))
			p.await(t, `resets(elsa_group_cpu_seconds_total{group="quick", mode="user"}[1m])`, func(v float64) bool { return v == 0 })
			if protobuf := strings.Contains(fmt.Sprint(accept.Load()), "protobuf"); protobuf != (flags != nil) {
				t.Errorf("it was scraped as %v", accept.Load())
			}
		})
	}
}

// billed is what the dashboard's bill shows of CPU time.
func billed(t *testing.T) string {
	t.Helper()
	for _, p := range panels(t) {
		if p.Title == "Bill of the time shown" {
			return p.Targets[0].Expr
		}
	}
	t.Fatal("the dashboard has no bill")
	return ""
}

// expressions returns what the dashboard and the recording rules evaluate,
// with Grafana's variables filled in.
func expressions(t *testing.T) (list []string) {
	t.Helper()
	for _, p := range panels(t) {
		for _, target := range p.Targets {
			list = append(list, fill.Replace(target.Expr))
		}
	}
	if len(list) < 20 {
		t.Fatalf("the dashboard has %d expressions", len(list))
	}
	rules, err := os.ReadFile("../../dist/prometheus/elsa.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	// What the rules record can be asked for by name.
	for _, m := range regexp.MustCompile(`record: (\S+)`).FindAllSubmatch(rules, -1) {
		list = append(list, string(m[1]))
	}
	return list
}

// fill fills in Grafana's variables.
var fill = strings.NewReplacer("$__rate_interval", "4s", "$__range", "1m", "$instance", ".*", "$group", ".*")

// panel is one of the dashboard.
type panel struct {
	Title   string
	Targets []struct{ Expr string }
}

func panels(t *testing.T) []panel {
	t.Helper()
	dashboard, err := os.ReadFile("../../dist/grafana/elsa.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct{ Panels []panel }
	if err := json.Unmarshal(dashboard, &d); err != nil {
		t.Fatal(err)
	}
	return d.Panels
}

// TestNames looks for names in dist that no scrape has.
func TestNames(t *testing.T) {
	body := scrape(t, exampleExporter(), "text/plain")
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z_]+)[{ ]`).FindAllStringSubmatch(body, -1) {
		known[m[1]] = true
	}
	for _, file := range []string{"grafana/elsa.json", "prometheus/elsa.rules.yml", "prometheus/elsa.rules.test.yml"} {
		text, err := os.ReadFile("../../dist/" + file)
		if err != nil {
			t.Fatal(err)
		}
		// A colon before or after makes it the name of a recorded series.
		found := regexp.MustCompile(`(?:^|[^a-z_:])((?:elsa|process|go)_[a-z_]+)(?:[^a-z_:]|$)`).FindAllStringSubmatch(string(text), -1)
		for _, m := range found {
			if !known[m[1]] {
				t.Errorf("%s: there is no metric %s", file, m[1])
			}
		}
		if len(found) < 10 {
			t.Errorf("%s: only %d names found", file, len(found))
		}
	}
}

func TestRules(t *testing.T) {
	kerneltest.Need(t, promtool)
	for _, args := range [][]string{
		{"check", "rules", "elsa.rules.yml"},
		{"test", "rules", "elsa.rules.test.yml"},
		{"check", "config", "elsa.scrape.yml"},
	} {
		cmd := exec.Command("promtool", args...)
		cmd.Dir = "../../dist/prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
