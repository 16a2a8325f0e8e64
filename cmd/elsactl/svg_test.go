// SPDX-License-Identifier: Apache-2.0

package main

import (
	stdbytes "bytes"
	"fmt"
	"html"
	"strconv"
	"strings"
	"testing"
)

// drawSVG draws a screen that tmux captured with its attributes.
func drawSVG(captured string, width, height int) []byte {
	const cw, lh, margin = 8.4, 18, 12
	colors := map[int]string{31: "#ff7b72", 32: "#7ee787", 36: "#79c0ff"}
	var b stdbytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="14">`+"\n",
		float64(width)*cw+2*margin, height*lh+2*margin)
	fmt.Fprintf(&b, `<title>elsactl top</title><rect width="100%%" height="100%%" rx="8" fill="#0d1117"/>`+"\n")
	color, isBold, isDim, isReverse := "#e6edf3", false, false, false
	for y, line := range strings.Split(strings.TrimRight(captured, "\n"), "\n") {
		x := 0
		for line != "" {
			if rest, is := strings.CutPrefix(line, "\x1b["); is {
				codes, after, _ := strings.Cut(rest, "m")
				for _, c := range strings.Split(codes, ";") {
					switch n, _ := strconv.Atoi(c); {
					case n == 0:
						color, isBold, isDim, isReverse = "#e6edf3", false, false, false
					case n == 1:
						isBold = true
					case n == 2:
						isDim = true
					case n == 7:
						isReverse = true
					case n == 39:
						color = "#e6edf3"
					case colors[n] != "":
						color = colors[n]
					}
				}
				line = after
				continue
			}
			text, rest := line, ""
			if i := strings.IndexByte(line, 0x1b); i >= 0 {
				text, rest = line[:i], line[i:]
			}
			n := len([]rune(text))
			left, base := margin+float64(x)*cw, margin+y*lh+14
			fill, more := color, ""
			if isReverse {
				fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", left, margin+y*lh, float64(n)*cw, lh, color)
				fill = "#0d1117"
			}
			if isBold {
				more += ` font-weight="bold"`
			}
			if isDim {
				more += ` opacity="0.65"`
			}
			if strings.TrimSpace(text) != "" {
				fmt.Fprintf(&b, `<text x="%.1f" y="%d" fill="%s"%s textLength="%.1f" xml:space="preserve">%s</text>`+"\n",
					left, base, fill, more, float64(n)*cw, html.EscapeString(text))
			}
			x, line = x+n, rest
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func TestDrawSVG(t *testing.T) {
	svg := string(drawSVG("a\x1b[1;31m<b>\x1b[0m\n\x1b[7m c \x1b[27m", 10, 2))
	for _, want := range []string{`>a</text>`, `fill="#ff7b72" font-weight="bold"`, `>&lt;b&gt;</text>`, `<rect x="12.0" y="30" width="25.2"`} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %q in:\n%s", want, svg)
		}
	}
}
