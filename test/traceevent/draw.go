// SPDX-License-Identifier: Apache-2.0

package traceevent

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/fnv"
	"html"
	"maps"
	"slices"
)

// Sizes of a picture, in its units.
const (
	wide   = 1100.0
	left   = 80.0 // for the names
	high   = 17.0 // of a slice
	graph  = 54.0 // of a counter
	letter = 6.6
)

// Draw draws a trace that was checked, as its readers do: a graph for each counter, and
// under it the tracks with their slices.
func Draw(t *Trace, title string) []byte {
	end := int64(1)
	tracks := map[place][]*Event{}
	counters := map[string][]*Event{}
	for i := range t.Events {
		e := &t.Events[i]
		at, _ := e.Start()
		switch e.Ph {
		case "X":
			length, _ := e.Length()
			end = max(end, at+length)
			tracks[place{e.PID, e.TID}] = append(tracks[place{e.PID, e.TID}], e)
		case "C":
			end = max(end, at)
			counters[e.Name] = append(counters[e.Name], e)
		}
	}
	x := func(at int64) float64 { return left + (wide-left-10)*float64(at)/float64(end) }
	var b bytes.Buffer
	y := 34.0
	for _, name := range []string{"CPUs", "live processes"} {
		y = drawCounter(&b, counters[name], name, x, y)
	}
	places := slices.SortedFunc(maps.Keys(tracks), func(a, b place) int { return cmp.Or(cmp.Compare(a.pid, b.pid), cmp.Compare(a.tid, b.tid)) })
	for i, p := range places {
		fmt.Fprintf(&b, `<text x="8" y="%.1f" fill="#57606a">track %d</text>`+"\n", y+12, i+1)
		y = drawTrack(&b, tracks[p], x, y) + 6
	}
	for k := range 6 {
		at := end * int64(k) / 5
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" fill="#57606a" text-anchor="%s">%.0f ms</text>`+"\n", x(at), y+14, map[bool]string{true: "end", false: "middle"}[k == 5], float64(at)/1e6)
	}
	head := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="'DejaVu Sans', sans-serif" font-size="11">
<title>%s</title><rect width="100%%" height="100%%" rx="8" fill="#fff"/>
<text x="8" y="20" font-size="13" font-weight="bold" fill="#1f2328">%s</text>
`, wide, y+24, html.EscapeString(title), html.EscapeString(title))
	return append(append([]byte(head), b.Bytes()...), "</svg>\n"...)
}

// drawCounter draws the sum of a counter's values as steps.
func drawCounter(b *bytes.Buffer, list []*Event, name string, x func(int64) float64, y float64) float64 {
	most := 0.0
	sum := func(e *Event) (n float64) {
		for _, v := range e.Args {
			n += v.(float64)
		}
		return n
	}
	for _, e := range list {
		most = max(most, sum(e))
	}
	fmt.Fprintf(b, `<text x="8" y="%.1f" fill="#57606a">%s</text><text x="8" y="%.1f" fill="#57606a">max %.3g</text><path fill="#54aeff" d="M%.1f %.1fV%.1f`,
		y+12, name, y+26, most, left, y+graph, y+graph)
	for _, e := range list {
		at, _ := e.Start()
		fmt.Fprintf(b, "H%.1fV%.1f", x(at), y+graph-graph*sum(e)/max(most, 1e-9))
	}
	fmt.Fprintf(b, `V%.1fZ"/>`+"\n", y+graph)
	return y + graph + 12
}

// drawTrack draws slices, each under the one that it is in.
func drawTrack(b *bytes.Buffer, list []*Event, x func(int64) float64, y float64) float64 {
	slices.SortFunc(list, func(a, b *Event) int {
		at, _ := a.Start()
		bt, _ := b.Start()
		return cmp.Compare(at, bt)
	})
	var open []int64 // ends
	deepest := 0
	for _, e := range list {
		at, _ := e.Start()
		length, _ := e.Length()
		for len(open) > 0 && open[len(open)-1] <= at {
			open = open[:len(open)-1]
		}
		h := fnv.New32a()
		h.Write([]byte(e.Name))
		top, width := y+float64(len(open))*high, x(at+length)-x(at)
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.0f" rx="2" fill="hsl(%d 62%% 76%%)" stroke="#fff" stroke-width=".5"><title>%s %v: %.1f ms, CPU %.1f ms</title></rect>`+"\n",
			x(at), top, max(width, 0.8), high-1, h.Sum32()%360, html.EscapeString(e.Name), e.Args["pid"], float64(length)/1e6,
			(e.Args["cpu_user_ns"].(float64)+e.Args["cpu_system_ns"].(float64))/1e6)
		if name := []rune(e.Name); width > letter*float64(len(name))+4 {
			fmt.Fprintf(b, `<text x="%.1f" y="%.1f" fill="#1f2328">%s</text>`+"\n", x(at)+3, top+12, html.EscapeString(e.Name))
		}
		open = append(open, at+length)
		deepest = max(deepest, len(open))
	}
	return y + float64(deepest)*high
}
