// SPDX-License-Identifier: Apache-2.0

// Package metrics serves the bill and the state of the service to Prometheus.
// Everything is computed at the scrape from one snapshot; nothing is kept per
// group between scrapes but memory to write the next one in.
package metrics

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"elsa/pkg/usage"
)

// DefaultMaxGroups is how many groups get series of their own if
// [Options.MaxGroups] is 0: ten series each.
const DefaultMaxGroups = 10000

// DefaultClosedGrace is long enough for any usual scrape interval.
const DefaultClosedGrace = 15 * time.Minute

// Options say what an [Exporter] serves. Only Snapshot is needed.
type Options struct {
	// Snapshot returns the figures to show. It is called once per scrape,
	// from several goroutines at once, and should give up when ctx ends. Nil
	// means that there is nothing to show yet: the scrape fails.
	Snapshot func(ctx context.Context) *usage.Snapshot
	// MaxGroups is the largest number of groups with series of their own; the
	// others are summed under [OverflowGroup] and counted in
	// elsa_groups_omitted. 0 stands for DefaultMaxGroups, a negative number
	// for no limit.
	MaxGroups int
	// ClosedGrace is how long a closed group keeps its series once it has no live
	// processes. 0 stands for DefaultClosedGrace, a negative duration for ever.
	ClosedGrace time.Duration
	// CreatedSamples adds the created timestamps as samples of their own to
	// the OpenMetrics text format. A Prometheus that scrapes protobuf has them
	// without; others would store nearly twice as many series.
	CreatedSamples bool
	// Owner names the user who owns a group; it must not block. Nil shows numbers.
	Owner func(uid uint32) string
	// Budgets returns what groups used of their budgets, in order of their names, as it
	// was found last; nil: there are none.
	Budgets func() []Budget
	// Version and Revision go into elsa_build_info.
	Version, Revision string
	// Log takes errors of scrapes; nil means slog.Default().
	Log *slog.Logger
}

// snapshotTimeout bounds how long a scrape waits for its snapshot. It is
// below Prometheus's own default, so that the scrape says why it failed.
const snapshotTimeout = 8 * time.Second

// maxInFlight bounds the scrapes at a time, and with it their memory.
const maxInFlight = 4

// Exporter is a [prometheus.TransactionalGatherer] of the service's metrics.
// Its methods may be called from several goroutines at once.
type Exporter struct {
	opts     Options
	registry *prometheus.Registry
	commits  prometheus.Histogram
	overflow overflow
	fade     fade
	scrapers scrapers
	// inFlight holds a place for each scrape that is under way.
	inFlight chan struct{}
	// free keeps one page from scrape to scrape. A scrape that finds none
	// makes its own: a client that reads slowly holds up nobody else.
	free chan *page
}

// New returns an exporter with a registry of its own that also has the usual
// metrics of the process and of the Go runtime.
func New(o Options) *Exporter {
	if o.MaxGroups == 0 {
		o.MaxGroups = DefaultMaxGroups
	}
	if o.ClosedGrace == 0 {
		o.ClosedGrace = DefaultClosedGrace
	}
	if o.Owner == nil {
		o.Owner = func(uid uint32) string { return strconv.FormatUint(uint64(uid), 10) }
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	e := &Exporter{
		opts:     o,
		registry: prometheus.NewRegistry(),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:                           nameCommitDuration,
			Help:                           "Time a commit to the store took.",
			Buckets:                        []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
			NativeHistogramBucketFactor:    1.1,
			NativeHistogramMaxBucketNumber: 100,
		}),
		overflow: overflow{limit: o.MaxGroups},
		fade:     fade{grace: o.ClosedGrace},
		free:     make(chan *page, 1),
		inFlight: make(chan struct{}, maxInFlight),
	}
	e.registry.MustRegister(e.commits,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return e
}

// ObserveCommit notes how long one commit to the store took.
func (e *Exporter) ObserveCommit(d time.Duration) { e.commits.Observe(d.Seconds()) }

var errNoSnapshot = errors.New("gather metrics: no figures yet: the service is starting or busy; try again")

// Gather returns all families, in order of their name. They are valid until
// done is called, which must be done even after an error. It blocks while
// Options.Snapshot does.
func (e *Exporter) Gather() (families []*dto.MetricFamily, done func(), err error) {
	return (&request{e: e}).Gather()
}

// request is one scrape.
type request struct {
	e *Exporter
	// by names the Prometheus that makes it, see scraperOf; told is to be called once
	// that has got it, if it is not nil.
	by   string
	told func()
}

// Gather is [Exporter.Gather], for the scraper.
func (rq *request) Gather() (families []*dto.MetricFamily, done func(), err error) {
	e := rq.e
	ctx, cancel := context.WithTimeout(context.Background(), snapshotTimeout)
	defer cancel()
	snap := e.opts.Snapshot(ctx)
	if snap == nil {
		return nil, func() {}, errNoSnapshot
	}
	families, err = e.registry.Gather()
	p := e.takePage()
	seen, told := e.scrapers.seen(rq.by, snap)
	rq.told = told
	families = append(families, p.fill(e.fade.left(snap), &e.overflow, seen, e.opts.Owner)...)
	families = append(families, serviceFamilies(snap, &e.opts)...)
	if e.opts.Budgets != nil {
		families = append(families, budgets(e.opts.Budgets())...)
	}
	slices.SortFunc(families, func(a, b *dto.MetricFamily) int {
		return strings.Compare(a.GetName(), b.GetName())
	})
	return families, func() { e.putPage(p, len(snap.Groups)) }, err
}

func (e *Exporter) takePage() *page {
	select {
	case p := <-e.free:
		return p
	default:
		return newPage()
	}
}

func (e *Exporter) putPage(p *page, groups int) {
	if p.spacious(groups) {
		return
	}
	select {
	case e.free <- p:
	default: // another is kept already
	}
}

// The rows of a page that are no group's; groups follow.
const (
	rowOverflow = iota
	rowUnattributed
	rowUngrouped
	rowGroups
)

// fill writes the snapshot's figures into the page and returns its families. Counters of
// groups whose id is above seen are new to who asks, and 0.
func (p *page) fill(s *usage.Snapshot, o *overflow, seen uint32, owner func(uint32) string) []*dto.MetricFamily {
	hidden, omitted, sum, since := o.split(s)
	first, next := rowUnattributed, rowGroups
	p.row(rowOverflow)
	if omitted > 0 || sum != (usage.Usage{}) {
		first = rowOverflow
		p.row(rowOverflow).set(OverflowGroup, since, &sum, false)
	}
	p.row(rowUngrouped).set(UngroupedGroup, s.Service.Created, &s.Ungrouped, false)
	p.row(rowUnattributed).set(UnattributedGroup, s.Service.Created, &s.Unattributed, false)
	p.info.Metric = p.info.Metric[:0]
	for i := range s.Groups {
		if hidden == nil || !hidden[i] {
			g := &s.Groups[i]
			r := p.row(next)
			r.set(g.Group.Name, g.Group.Created, &g.Usage, g.Group.ID > seen)
			r.info.set(&g.Group, owner(g.Group.Owner))
			p.info.Metric = append(p.info.Metric, &r.info.metric)
			next++
		}
	}
	p.useRows(first, next)
	p.any.set("", s.Service.Created, &s.AnyGroup, false)
	p.ungrouped.set("", s.Service.Created, &s.Ungrouped, false)
	p.unattributed.set("", s.Service.Created, &s.Unattributed, false)

	families := make([]*dto.MetricFamily, 0, len(p.groups)+len(p.shares)+2)
	families = append(families, p.groups[:]...)
	if len(p.info.Metric) > 0 {
		families = append(families, p.info)
	}
	families = append(families, p.shares...)
	return append(families, gauge(nameGroupsOmitted,
		"Groups beyond the limit of series, summed as group \""+OverflowGroup+"\".", float64(omitted)))
}
