// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	ask "elsa/internal/query"
)

// Sizes of a picture of lanes, in its units, which are pixels at the width of a page.
const (
	lanesLeft  = 150.0 // for names
	lanesWide  = 980.0
	graphHigh  = 46.0
	bandHigh   = 26.0
	laneHigh   = 17.0
	letterWide = 6.6
	hues       = 12
	lanesTicks = 5
	leastZoom  = 5 * time.Millisecond
)

// lanes is a picture of a life, ready for an SVG: graphs, then a lane for each row of
// processes, then bands.
type lanes struct {
	Width, Height, Left, Right float64
	// Label says in words what it shows.
	Label  string
	Graphs []graph
	Boxes  []*box
	// Axis is where the times are; Ticks, and between them Zooms.
	Axis  float64
	Ticks []lanesTick
	Zooms []zoom
}

// graph is an area with a name.
type graph struct {
	Y               float64
	Name, Note, Hue string
	Area            string
}

// box is a process: from birth to death, and below how busy it was.
type box struct {
	X, Y, W, Busy   float64
	Hue, Text, Hint string
}

// TextX and TextY are where its name begins.
func (b *box) TextX() float64 { return b.X + 3 }
func (b *box) TextY() float64 { return b.Y + 12 }

type lanesTick struct {
	X          float64
	Text, Side string
}

// zoom leads to a part of the picture.
type zoom struct {
	X, W float64
	URL  string
}

// drawLanes draws a life that was checked, and has something to show. link is the
// address of a part of it.
func drawLanes(l *ask.Life, zone *time.Location, link func(from, until time.Time) string) *lanes {
	p := &lanes{Width: lanesLeft + lanesWide + 10, Left: lanesLeft, Right: lanesLeft + lanesWide}
	x := func(at int64) float64 {
		return lanesLeft + lanesWide*float64(min(max(at, l.Since), l.Until)-l.Since)/float64(l.Until-l.Since)
	}
	y := 4.0
	add := func(name, note, hue string, values []float64, top, high float64) {
		p.Graphs = append(p.Graphs, graph{Y: y, Name: name, Note: note, Hue: hue, Area: steps(l, values, top, y+high, high, x)})
		y += high + 6
	}
	cpus, live := slices.Max(l.CPUs), slices.Max(l.Live)
	add("CPUs", "up to "+cores(cpus), "busy", l.CPUs, cpus, graphHigh)
	add("live processes", "up to "+strconv.FormatFloat(live, 'f', 1, 64), "line-area", l.Live, live, graphHigh)
	for i := range l.Spans {
		s := &l.Spans[i]
		p.Boxes = append(p.Boxes, newBox(s, x, y))
	}
	y += float64(l.Rows)*laneHigh + 6
	for i := range l.Bands {
		b := &l.Bands[i]
		name := printable(b.Command)
		if name == "" {
			name = "all others"
		}
		note := fmt.Sprintf("%s, %s CPU", count(uint64(max(b.Processes, 0))), seconds(time.Duration(b.CPU)))
		add(clip(name, 20), note, hueOf(b.Command), b.Live, max(slices.Max(b.Live), 1e-9), bandHigh)
	}
	p.Axis = y
	p.ticks(l, zone, link)
	p.Height = y + 40
	p.Label = fmt.Sprintf("%s processes in %s: %d drawn one by one in %d lanes, %d bands of all others; up to %s CPUs",
		count(uint64(l.Processes)), lasted(time.Duration(l.Until-l.Since)), len(l.Spans), l.Rows, len(l.Bands), cores(cpus))
	return p
}

// newBox is the box of a process, in the lanes that begin at y.
func newBox(s *ask.Span, x func(int64) float64, y float64) *box {
	lived := s.Ended - s.Started
	b := &box{X: x(s.Started), Y: y + float64(s.Row)*laneHigh, Hue: hueOf(s.Command)}
	b.W = max(x(s.Ended)-b.X, 0.7)
	if lived > 0 {
		b.Busy = b.W * min(float64(s.CPU)/float64(lived), 1)
	}
	command := printable(s.Command)
	b.Hint = fmt.Sprintf("%s %d: %s, CPU %s", command, s.PID, lasted(time.Duration(lived)), lasted(time.Duration(s.CPU)))
	if s.Part {
		b.Hint += ", up to a change of groups or the end of an hour"
	}
	if room := int((b.W - 6) / letterWide); utf8.RuneCountInString(command) <= room {
		b.Text = command
	}
	return b
}

// steps is the area below values, each over its step.
func steps(l *ask.Life, values []float64, top, bottom, high float64, x func(int64) float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "M%.1f %.1f", lanesLeft, bottom)
	for k, v := range values {
		if k == 0 || v != values[k-1] {
			fmt.Fprintf(&b, "V%.1f", bottom-high*v/max(top, 1e-9))
		}
		fmt.Fprintf(&b, "H%.1f", x(l.Since+int64(k+1)*l.Step))
	}
	fmt.Fprintf(&b, "V%.1fZ", bottom)
	return b.String()
}

func (p *lanes) ticks(l *ask.Life, zone *time.Location, link func(from, until time.Time) string) {
	length := time.Duration(l.Until - l.Since)
	at := func(k int) time.Time { return time.Unix(0, l.Since).Add(length / lanesTicks * time.Duration(k)) }
	for k := range lanesTicks + 1 {
		t := lanesTick{X: lanesLeft + lanesWide*float64(k)/lanesTicks, Side: "middle"}
		if t.Text = at(k).In(zone).Format("15:04:05"); length < 2*time.Minute {
			t.Text = lasted(length / lanesTicks * time.Duration(k))
		}
		if k == lanesTicks {
			t.Side = "end"
		}
		p.Ticks = append(p.Ticks, t)
		if k < lanesTicks && length/lanesTicks >= leastZoom {
			p.Zooms = append(p.Zooms, zoom{X: t.X, W: lanesWide / lanesTicks, URL: link(at(k), at(k+1))})
		}
	}
}

// hueOf is the class of the colour of a command.
func hueOf(command string) string {
	h := fnv.New32a()
	h.Write([]byte(command))
	return "h" + strconv.Itoa(int(h.Sum32()%hues))
}

// clip shortens a text to so many characters.
func clip(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// lasted prints a time that may be short.
func lasted(d time.Duration) string {
	switch {
	case d < time.Second:
		return strconv.FormatFloat(d.Seconds()*1e3, 'f', 1, 64) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + " s"
	}
	return seconds(d)
}
