// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"elsa/pkg/usage"
)

// fact is a row of a table of two columns.
type fact struct{ Title, Value string }

// bill are the rows of a bill, as the table of fields has them.
func bill(u *usage.Usage) (rows []fact) {
	for f := range usage.Fields {
		if title := f.Info().Title; title != "" {
			rows = append(rows, fact{title, text(u, f)})
		}
	}
	return rows
}

// figure prints the field of a name.
func figure(u *usage.Usage, name string) (string, error) {
	f, ok := usage.Named(name)
	if !ok {
		return "", fmt.Errorf("print figure: no field is named %s", name)
	}
	return text(u, f), nil
}

func text(u *usage.Usage, f usage.Field) string {
	switch f.Info().Unit {
	case usage.Seconds:
		return seconds(time.Duration(u[f]))
	case usage.Bytes:
		return size(u[f])
	}
	return count(u[f])
}

// cores prints CPU use.
func cores(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 0.001:
		return "<0.001"
	case v < 0.1:
		return strconv.FormatFloat(v, 'f', 3, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// seconds prints CPU time for people.
func seconds(d time.Duration) string {
	switch {
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + " s"
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%d h %02d min", d/time.Hour, d%time.Hour/time.Minute)
}

// size prints bytes in powers of 1024.
func size(n uint64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"} {
		v /= 1024
		if v < 1023.95 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}

// count prints a number with its thousands apart.
func count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:] // narrow no-break space
	}
	return s
}

// breakable lets a name be broken after its separators, and so nowhere else.
func breakable(name string) template.HTML {
	text := template.HTMLEscapeString(name)
	for _, sep := range []string{"/", ":", ".", "_", "@"} {
		text = strings.ReplaceAll(text, sep, sep+"<wbr>")
	}
	return template.HTML(text)
}
