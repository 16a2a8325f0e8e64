// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// chart is a line over a span, ready to be put into an SVG whose viewBox is
// width by height.
type chart struct {
	Width, Height int
	// Line and Area are path data; empty where nothing is known.
	Line, Area string
	// Label says in words what the line shows.
	Label string
	// Max and Half are the values at the top and the middle of the scale.
	Max, Half string
	// Ticks are the times under the chart.
	Ticks []tick
	// Known is whether there is anything to draw.
	Known bool
}

type tick struct {
	X    int
	Text string
}

// draw makes a chart of values in cores, oldest first, of a span up to end.
func draw(values []float64, width, height int, sp *span, end time.Time) *chart {
	c := &chart{Width: width, Height: height}
	top, sum, n := 0.0, 0.0, 0
	for _, v := range values {
		if !math.IsNaN(v) {
			top = max(top, v)
			sum += v
			n++
		}
	}
	if n == 0 {
		c.Label = "CPU over the last " + sp.Text + ": not known yet"
		return c
	}
	c.Known = true
	scale := ceiling(top)
	c.Max, c.Half = cores(scale), cores(scale/2)
	c.Label = fmt.Sprintf("CPU over the last %s: highest %s, mean %s cores", sp.Text, cores(top), cores(sum/float64(n)))

	var line []byte
	first, last := -1.0, 0.0
	for i, v := range values {
		if math.IsNaN(v) {
			continue
		}
		x := float64(i+1) / float64(len(values)) * float64(width)
		y := float64(height) - 1 - v/scale*float64(height-2)
		if first < 0 {
			first = x
			line = append(line, 'M')
		} else {
			line = append(line, 'L')
		}
		line = strconv.AppendFloat(line, x, 'f', 1, 64)
		line = append(line, ' ')
		line = strconv.AppendFloat(line, y, 'f', 1, 64)
		last = x
	}
	c.Line = string(line)
	c.Area = fmt.Sprintf("%sL%.1f %dL%.1f %dZ", c.Line, last, height, first, height)
	for i := range 5 {
		at := end.Add(time.Duration(i-4) * sp.length() / 4)
		c.Ticks = append(c.Ticks, tick{i * width / 4, at.Format(sp.layout)})
	}
	return c
}

// ceiling returns 1, 2 or 5 times a power of ten that is not below v, and at
// least a hundredth: less than that is noise.
func ceiling(v float64) float64 {
	step := 0.01
	for {
		for _, m := range []float64{1, 2, 5} {
			if m*step >= v {
				return m * step
			}
		}
		step *= 10
	}
}

// Middle is half the height; ViewWidth and ViewHeight leave room for the text
// around a large chart.
func (c *chart) Middle() int     { return c.Height / 2 }
func (c *chart) ViewWidth() int  { return c.Width + 52 + 24 }
func (c *chart) ViewHeight() int { return c.Height + 10 + 28 }
