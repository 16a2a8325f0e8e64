// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// packages runs the Go benchmarks of single stages and takes the rows and the
// growth curves from them.
func (b *bench) packages() error {
	receive, err := b.goBench("./pkg/cnfork", "KernelReceive/live/conn", "20000x")
	if err != nil {
		return err
	}
	r := receive["BenchmarkKernelReceive/live/conn"]
	b.rows = append(b.rows, row{
		what: "receive and decode one event", ours: fmt.Sprintf("%.2f µs, %.3f allocations", r["cpu-ns/event"]/1e3, r["allocs/event"]),
		limit: "≤ 1.5 µs, 0", ok: r["cpu-ns/event"] <= 1500 && r["allocs/event"] < 0.01,
	})
	apply, err := b.goBench("./pkg/groups", "Apply", "100000x")
	if err != nil {
		return err
	}
	for _, n := range []int{1000, 10000, 100000, 1000000} {
		r := apply[fmt.Sprintf("BenchmarkApply/processes=%d", n)]
		b.growthEvent = append(b.growthEvent, point{float64(n), r["ns/event"]})
		b.growthBytes = append(b.growthBytes, point{float64(n), r["bytes/process"]})
		if n == 1000 || n == 1000000 {
			b.rows = append(b.rows, row{
				what:  fmt.Sprintf("apply one event, %s live processes", thousands(n)),
				ours:  fmt.Sprintf("%.0f ns, %.0f allocations; %.1f bytes a process", r["ns/event"], r["allocs/op"], r["bytes/process"]),
				limit: "≤ 60 ns, 0; ≤ 32", ok: r["ns/event"] <= 60 && r["allocs/op"] == 0 && r["bytes/process"] <= 32,
			})
		}
	}
	commit, err := b.goBench("./internal/pipeline", "JoinCommit", "5x")
	if err != nil {
		return err
	}
	for _, n := range []int{10, 100, 1000, 10000} {
		r := commit[fmt.Sprintf("BenchmarkJoinCommit/idle-groups=%d", n)]
		b.growthCommit = append(b.growthCommit, point{float64(n), r["ns/op"] / 1e6})
		if n == 10 || n == 10000 {
			b.rows = append(b.rows, row{
				what: fmt.Sprintf("join and commit a second's 20,000 deaths, %s idle groups", thousands(n)),
				ours: fmt.Sprintf("%.2f M records/s", r["records/s"]/1e6), limit: "≥ 0.5 M/s", ok: r["records/s"] >= 500000,
			})
		}
	}
	scrape, err := b.goBench("./internal/metrics", "Scrape/[0-9]+/text$", "5x")
	if err != nil {
		return err
	}
	limits := map[int]float64{1000: 5, 10000: 50}
	for _, n := range []int{10, 100, 1000, 10000} {
		r := scrape[fmt.Sprintf("BenchmarkScrape/%d/text", n)]
		ms, mb := r["ns/op"]/1e6, r["B/op"]/1e6
		b.growthScrape = append(b.growthScrape, point{float64(n), ms})
		if limit := limits[n]; limit > 0 {
			b.rows = append(b.rows, row{
				what: fmt.Sprintf("scrape of %s groups", thousands(n)), ours: fmt.Sprintf("%.2f ms, %.1f MB allocated", ms, mb),
				limit: fmt.Sprintf("≤ %.0f ms, ≤ 20 MB", limit), ok: ms <= limit && mb <= 20,
			})
		}
	}
	return b.growing()
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// point is one of a curve.
type point struct{ x, y float64 }

// growth draws the curves into an SVG file.
func (b *bench) growth(file string) error {
	var s strings.Builder
	const width, height = 900, 300
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&s, `<title>Growth with processes and with groups</title><rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	chart(&s, 60, "live processes", []curve{
		{"ns for an event", "#b3261e", b.growthEvent}, {"bytes for a process", "#1f5fbf", b.growthBytes}})
	chart(&s, 510, "groups", []curve{
		{"ms for a scrape", "#b3261e", b.growthScrape}, {"ms to join and commit 20,000 deaths", "#1f5fbf", b.growthCommit}})
	s.WriteString("</svg>\n")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(s.String()), 0o644)
}

type curve struct {
	name, color string
	points      []point
}

// chart draws curves at the horizontal offset left, both axes logarithmic.
func chart(s *strings.Builder, left float64, axis string, curves []curve) {
	const width, height, top = 360.0, 200.0, 50.0
	minX, maxX, minY, maxY := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, c := range curves {
		for _, p := range c.points {
			minX, maxX = min(minX, math.Log10(p.x)), max(maxX, math.Log10(p.x))
			minY, maxY = min(minY, math.Log10(p.y)), max(maxY, math.Log10(p.y))
		}
	}
	minY, maxY = math.Floor(minY), math.Floor(maxY)+1
	x := func(v float64) float64 { return left + (math.Log10(v)-minX)/(maxX-minX)*width }
	y := func(v float64) float64 { return top + height - (math.Log10(v)-minY)/(maxY-minY)*height }
	for e := minY; e <= maxY; e++ {
		v := math.Pow(10, e)
		fmt.Fprintf(s, `<path d="M%.0f %.1fh%.0f" stroke="#ddd"/><text x="%.0f" y="%.1f" text-anchor="end" fill="#555">%g</text>`+"\n",
			left, y(v), width, left-6, y(v)+4, v)
	}
	for e := minX; e <= maxX+1e-9; e++ {
		v := math.Pow(10, e)
		fmt.Fprintf(s, `<path d="M%.1f %.0fv%.0f" stroke="#eee"/><text x="%.1f" y="%.0f" text-anchor="middle" fill="#555">%s</text>`+"\n",
			x(v), top, height, x(v), top+height+16, thousands(int(math.Round(v))))
	}
	fmt.Fprintf(s, `<text x="%.0f" y="%.0f" text-anchor="middle" fill="#333">%s</text>`+"\n", left+width/2, top+height+36, axis)
	for i, c := range curves {
		fmt.Fprintf(s, `<text x="%.0f" y="%.0f" fill="%s">● %s</text>`+"\n", left, 18+float64(i)*16, c.color, c.name)
		var line strings.Builder
		for _, p := range c.points {
			fmt.Fprintf(&line, " %.1f,%.1f", x(p.x), y(p.y))
			fmt.Fprintf(s, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%s: %.3g</title></circle>`+"\n", x(p.x), y(p.y), c.color, thousands(int(p.x)), p.y)
		}
		fmt.Fprintf(s, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", line.String()[1:], c.color)
	}
}
