// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"elsa/internal/clickhouse"
)

// Tables is the place that a database of ClickHouse is. What is there of an item are the
// rows that have its source, writer and version, or its file; names are those of files.
type Tables struct{ *clickhouse.Client }

// cpu is what rows have of CPU time.
const cpu = "sum(cpu_user_ns + cpu_system_ns)"

var (
	insertCells     = "INSERT INTO cells (" + clickhouse.Names(clickhouse.Cells.Columns) + ") FORMAT Parquet"
	insertManifests = "INSERT INTO manifests (" + clickhouse.Names(clickhouse.Manifests.Columns) + ") FORMAT JSONEachRow"
)

// Put inserts rows. Those of the same key and version are replaced, so it can be done again.
func (t Tables) Put(ctx context.Context, i *Item, body []byte) error {
	if i.Hour != 0 {
		return t.Insert(ctx, insertCells, body, true)
	}
	f, ok := ParseSealed(i.Name)
	if !ok {
		return fmt.Errorf("bad name %q of a sealed file", i.Name)
	}
	sent := clickhouse.Processes.Columns[:clickhouse.SentColumns]
	var input []string
	for k := range sent {
		of := sent[k].File
		if of == "" {
			of = sent[k].Type
		}
		input = append(input, sent[k].Name+" "+of)
	}
	return t.Insert(ctx, fmt.Sprintf("INSERT INTO processes (%s) SELECT %s, %s, %s FROM input(%s) FORMAT Parquet", clickhouse.Names(clickhouse.Processes.Columns),
		clickhouse.Names(sent), clickhouse.Quote(f.Writer), clickhouse.Quote(f.File()), clickhouse.Quote(strings.Join(input, ", "))), body, false)
}

// Check counts rows, and adds up their CPU time.
func (t Tables) Check(ctx context.Context, i *Item) error {
	var where string
	if c, ok := ParseCells(i.Name); ok {
		where = fmt.Sprintf("cells FINAL WHERE hour = toDateTime(%d, 'UTC') AND source = %s AND writer = %s AND version = %d",
			uint64(c.Hour)*3600, clickhouse.Quote(c.Source), clickhouse.Quote(c.Writer), c.Version)
	} else if f, ok := ParseSealed(i.Name); ok {
		where = fmt.Sprintf("processes FINAL WHERE toDate(ended) = %s AND source = %s AND writer = %s AND file = %s",
			clickhouse.Quote(f.Day), clickhouse.Quote(f.Source), clickhouse.Quote(f.Writer), clickhouse.Quote(f.File()))
	} else {
		return fmt.Errorf("bad name %q of an item", i.Name)
	}
	there := Object{Size: -1}
	err := t.Query(ctx, "SELECT count(), "+cpu+" FROM "+where, func(r *clickhouse.Row) error {
		there.Rows, there.CPU = r.U64(), r.U64()
		return nil
	})
	switch {
	case err != nil:
		return err
	case there.Rows == 0:
		return fs.ErrNotExist
	case !there.is(i):
		return ErrDiffers
	}
	return nil
}

// List counts the rows of a source, on the days of directories.
func (t Tables) List(ctx context.Context, dirs []string) (list []Object, err error) {
	days, sources := map[string][]string{}, []string{}
	for _, dir := range dirs {
		kind, rest, _ := strings.Cut(dir, "/day=")
		day, source, ok := strings.Cut(strings.TrimSuffix(rest, "/"), "/source=")
		if !ok {
			return nil, fmt.Errorf("bad directory %q of items", dir)
		}
		days[kind] = append(days[kind], day)
		if !slices.Contains(sources, source) {
			sources = append(sources, source)
		}
	}
	of := " WHERE source IN " + clickhouse.List(sources)
	if days["cells"] != nil {
		list, err = t.cells(ctx, of+" AND toDate(hour) IN "+clickhouse.List(days["cells"]))
	}
	if err == nil && days["processes"] != nil {
		var files []Object
		files, err = t.files(ctx, of+" AND toDate(ended) IN "+clickhouse.List(days["processes"]))
		list = append(list, files...)
	}
	return list, err
}

// All counts the rows of all sources.
func (t Tables) All(ctx context.Context) ([]Object, error) {
	list, err := t.cells(ctx, "")
	if err != nil {
		return nil, err
	}
	files, err := t.files(ctx, "")
	return append(list, files...), err
}

func (t Tables) cells(ctx context.Context, where string) (list []Object, err error) {
	err = t.Query(ctx, "SELECT toString(source), hour, version, CAST(writer, 'String') AS w, count(), "+cpu+" FROM cells FINAL"+where+
		" GROUP BY source, hour, version, w ORDER BY source, hour, version, w", func(r *clickhouse.Row) error {
		c := Cells{r.Text(), r.U32() / 3600, r.U64(), r.Text()}
		list = append(list, Object{c.Name(), -1, r.U64(), r.U64()})
		return nil
	})
	return list, err
}

func (t Tables) files(ctx context.Context, where string) (list []Object, err error) {
	err = t.Query(ctx, "SELECT toString(source), toString(toDate(ended)) AS day, CAST(file, 'String') AS f, count(), "+cpu+" FROM processes FINAL"+where+
		" GROUP BY source, day, f ORDER BY source, day, f", func(r *clickhouse.Row) error {
		source, day, file := r.Text(), r.Text(), r.Text()
		list = append(list, Object{path.Join(Processes, "day="+day, "source="+source, file+".parquet"), -1, r.U64(), r.U64()})
		return nil
	})
	return list, err
}

// Adopt takes the sums of an object.
func (Tables) Adopt(_ context.Context, o *Object) (Item, string, error) {
	c, ok := ParseCells(o.Name)
	if !ok {
		return Item{}, "", fmt.Errorf("bad name %q of cells", o.Name)
	}
	return Item{Hour: c.Hour, Version: c.Version, Name: o.Name, Rows: o.Rows, CPU: o.CPU}, "", nil
}

// Remove does nothing: the engine replaces rows.
func (Tables) Remove(context.Context, string) error { return nil }

// stamp is a time as the server reads it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000000000") }

// Publish inserts the row of a manifest, which replaces those with lower numbers.
func (t Tables) Publish(ctx context.Context, m *Manifest) error {
	row := map[string]any{
		"source": m.Source, "writer": m.Writer, "host": m.Host, "first": m.First, "last": m.Last, "nonce": m.Nonce, "updated": stamp(m.Updated),
		"through": stamp(m.Through), "every_seconds": m.Every, "final": m.Final, "lost_items": m.Lost.Items, "lost_rows": m.Lost.Rows,
		"lost_cpu_ns": m.Lost.CPU, "lost_from": m.Lost.From, "lost_to": m.Lost.To,
	}
	for _, c := range clickhouse.Manifests.Columns {
		if strings.HasPrefix(c.Type, "Array") {
			row[c.Name] = []any{}
		}
	}
	add := func(column string, v any) { row[column] = append(row[column].([]any), v) }
	for i := range m.Items {
		item := &m.Items[i]
		if c, ok := ParseCells(item.Name); ok {
			add("hours", uint64(c.Hour)*3600)
			add("hour_writers", c.Writer)
			add("hour_versions", c.Version)
			add("hour_rows", item.Rows)
			add("hour_cpu_ns", item.CPU)
		} else if f, ok := ParseSealed(item.Name); ok {
			add("files", f.File())
			add("file_days", f.Day)
			add("file_rows", item.Rows)
			add("file_cpu_ns", item.CPU)
		}
	}
	b, err := json.Marshal(row)
	if err != nil {
		return fmt.Errorf("encode manifest: %w", err)
	}
	return t.Insert(ctx, insertManifests, append(b, '\n'), true)
}

// Manifests reads the rows that count.
func (t Tables) Manifests(ctx context.Context, source string, damage func(error)) (list []Manifest, err error) {
	var columns []string
	for _, c := range clickhouse.Manifests.Columns {
		switch {
		case c.Name == "source", c.Type == "Array(LowCardinality(String))":
			columns = append(columns, "CAST("+c.Name+", "+map[bool]string{true: "'String'", false: "'Array(String)'"}[c.Name == "source"]+")")
		default:
			columns = append(columns, c.Name)
		}
	}
	where := ""
	if source != "" {
		where = " WHERE source = " + clickhouse.Quote(source)
	}
	err = t.Query(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM manifests FINAL"+where, func(r *clickhouse.Row) error {
		m := Manifest{Source: r.Text(), Writer: r.Text(), Host: r.Text(), First: r.U64(), Last: r.U64(), Nonce: r.Text(), Updated: time.Unix(0, r.I64()).UTC(),
			Through: time.Unix(0, r.I64()).UTC(), Every: r.F64(), Final: r.U8() != 0,
			Lost: Lost{Items: r.U64(), Rows: r.U64(), CPU: r.U64(), From: r.U32(), To: r.U32()}, Items: []Item{}}
		hours, writers, versions, rows, cpu := r.U32s(), r.Texts(), r.U64s(), r.U64s(), r.U64s()
		files, days, fileRows, fileCPU := r.Texts(), r.Texts(), r.U64s(), r.U64s()
		if min(len(writers), len(versions), len(rows), len(cpu)) < len(hours) || min(len(days), len(fileRows), len(fileCPU)) < len(files) {
			damage(fmt.Errorf("read manifest of %s, writer %s: its lists are of different lengths", m.Source, m.Writer))
			return nil
		}
		for i, at := range hours {
			c := Cells{m.Source, at / 3600, versions[i], writers[i]}
			m.Items = append(m.Items, Item{Name: c.Name(), Hour: c.Hour, Version: c.Version, Rows: rows[i], CPU: cpu[i]})
		}
		for i, file := range files { // which begins with its source: an archive may have those of an older database
			m.Items = append(m.Items, Item{Name: path.Join(Processes, "day="+days[i], "source="+file[:min(len(file), 36)], file+".parquet"), Rows: fileRows[i], CPU: fileCPU[i]})
		}
		list = append(list, m)
		return nil
	})
	return list, err
}

// Ask inserts a row, which replaces the one before.
func (t Tables) Ask(ctx context.Context, source string, r Request) error {
	b, err := json.Marshal(map[string]any{"source": source, "asked": stamp(time.Now()), "id": r.ID, "since": r.Since.Unix()})
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	return t.Insert(ctx, "INSERT INTO requests ("+clickhouse.Names(clickhouse.Requests.Columns)+") FORMAT JSONEachRow", append(b, '\n'), false)
}

// Asked reads the row that counts.
func (t Tables) Asked(ctx context.Context, source string) (asked Request, err error) {
	err = t.Query(ctx, "SELECT id, since FROM requests FINAL WHERE source = "+clickhouse.Quote(source), func(r *clickhouse.Row) error {
		asked = Request{r.Text(), time.Unix(int64(r.U32()), 0).UTC()}
		return nil
	})
	return asked, err
}
