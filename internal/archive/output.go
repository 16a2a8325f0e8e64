// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"elsa/internal/escape"
	"elsa/internal/query"
)

// Run answers a query, which was checked, on w.
func (x *Scanner) Run(q *query.Query, w io.Writer) error {
	out := bufio.NewWriterSize(w, 64<<10)
	if err := x.run(q, out); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

// ready makes a query ready to be asked of batches.
func (x *Scanner) ready(q *query.Query) (m *match, err error) {
	m = newMatch(q)
	if q.Where != "" {
		if m.where, err = newWhere(q.Where); err != nil {
			return nil, err
		}
	}
	return m, x.findTree(q, m)
}

func (x *Scanner) run(q *query.Query, w *bufio.Writer) error {
	m, err := x.ready(q)
	if err != nil {
		return err
	}
	if len(q.By) > 0 {
		s := newSums(q)
		if err := x.scan(q, m, s); err != nil {
			return err
		}
		return writeSums(w, q, s.sorted(q))
	}
	if q.Format == "trace" {
		return x.runTrace(q, m, w)
	}
	o := newRows(q.Format, w)
	if orderOf(q) != nil {
		s := newTop(q)
		if err := x.scan(q, m, s); err != nil {
			return err
		}
		for _, t := range s.sorted() {
			if err := o.put(&t.record); err != nil {
				return err
			}
		}
		return o.end()
	}
	s := &each{f: o.put, left: cmp.Or(q.Top, -1)}
	if err := x.scan(q, m, s); err != nil {
		return err
	}
	return o.end()
}

// rowWriter writes records in a format.
type rowWriter struct {
	put func(*record) error
	end func() error
}

func newRows(format string, w *bufio.Writer) rowWriter {
	switch format {
	case "parquet":
		return parquetRows(w)
	case "json": // a list, one element a line
		var b []byte
		return rowWriter{func(c *record) error {
			if b == nil {
				b = append(b, "[\n"...)
			} else {
				b = append(b[:0], ",\n"...)
			}
			b = c.appendObject(b, everything)
			_, err := w.Write(b)
			return err
		}, func() error {
			end := "\n]\n"
			if b == nil {
				end = "[]\n"
			}
			_, err := w.WriteString(end)
			return err
		}}
	case "csv":
		out := csv.NewWriter(w)
		out.Write(names[:])
		var list []string
		var room []byte
		return rowWriter{func(c *record) error {
			list, room = c.fields(list, room)
			return out.Write(list)
		}, func() error { out.Flush(); return out.Error() }}
	}
	return tableRows(w)
}

// member is a member of a JSON object.
type member struct {
	name  string
	value any
}

// object is a JSON object whose members are in order.
type object []member

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, m := range o {
		v, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(strconv.AppendQuote(b, m.name), ':'), v...)
	}
	return append(b, '}'), nil
}

func tableRows(w io.Writer) rowWriter {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ENDED\tELAPSED\tCPU\tMEMORY\tEXIT\tPID\tPPID\tUSER\tCOMMAND\tGROUPS")
	n := 0
	return rowWriter{func(c *record) error {
		groups := strings.Join(c.Groups, " ")
		if c.Unattributed {
			groups = "(unattributed)"
		}
		if c.Part > 0 {
			groups += " (part)"
		}
		_, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", time.Unix(0, c.Ended).Local().Format("2006-01-02 15:04:05.000"),
			seconds(int64(c.Elapsed)), seconds(int64(c.CPUUser+c.CPUSystem)), bytesText(int64(c.MaxRSS)), exitShort(c.statusNumber()), c.PID, c.PPID,
			escape.Text(c.User), escape.Text(c.Command), escape.Text(groups))
		if n++; n%1000 == 0 { // bounded memory; the columns may shift
			t.Flush()
		}
		return err
	}, t.Flush}
}

func exitShort(status int64) string {
	switch {
	case status < 0:
		return "?"
	case status&0x7f != 0:
		return "SIG" + strconv.FormatInt(status&0x7f, 10)
	}
	return strconv.FormatInt(status>>8&0xff, 10)
}

func seconds(ns int64) string { return strconv.FormatFloat(float64(ns)/1e9, 'f', 3, 64) }

func bytesText(n int64) string {
	for _, u := range []struct {
		of   int64
		name string
	}{{1 << 40, "T"}, {1 << 30, "G"}, {1 << 20, "M"}, {1 << 10, "K"}} {
		if n >= u.of {
			return strconv.FormatFloat(float64(n)/float64(u.of), 'f', 1, 64) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// parquetRows writes a file like those of the archive.
func parquetRows(w io.Writer) rowWriter {
	out := newParquet(w)
	return rowWriter{func(c *record) error {
		_, err := out.Write([]record{*c})
		return err
	}, out.Close}
}

// writeSums writes a summary.
func writeSums(w *bufio.Writer, q *query.Query, list []*Sum) error {
	switch q.Format {
	case "json":
		rows := make([]object, len(list))
		for i, s := range list {
			for k, by := range q.By {
				rows[i] = append(rows[i], member{by, s.Key[k]})
			}
			rows[i] = append(rows[i], member{"processes", s.Processes})
			for _, c := range figures {
				rows[i] = append(rows[i], member{c.Name(), s.figures[c]})
			}
		}
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(rows)
	case "csv":
		out := csv.NewWriter(w)
		head := append(append([]string(nil), q.By...), "processes")
		for _, c := range figures {
			head = append(head, c.Name())
		}
		out.Write(head)
		for _, s := range list {
			var row []string
			for _, v := range s.Key {
				row = append(row, escape.Cell(v))
			}
			row = append(row, strconv.FormatInt(s.Processes, 10))
			for _, c := range figures {
				row = append(row, strconv.FormatInt(s.figures[c], 10))
			}
			out.Write(row)
		}
		out.Flush()
		return out.Error()
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "PROCESSES\tCPU\tUSER\tSYSTEM\tELAPSED\tMAX MEMORY\t  %s\n", strings.ToUpper(strings.Join(q.By, "  ")))
	for _, s := range list {
		keys := make([]string, len(s.Key))
		for i, v := range s.Key {
			keys[i] = escape.Text(v)
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t  %s\n", s.Processes, seconds(s.figures[CPUUser]+s.figures[CPUSystem]), seconds(s.figures[CPUUser]),
			seconds(s.figures[CPUSystem]), seconds(s.figures[Elapsed]), bytesText(s.figures[MaxRSS]), strings.Join(keys, "  "))
	}
	return t.Flush()
}
