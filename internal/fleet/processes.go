// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"elsa/internal/archive"
	"elsa/internal/clickhouse"
	"elsa/internal/query"
	"elsa/internal/ship"
)

// Processes writes the processes of all hosts that sent theirs, in the order of sources.
// What is damaged or missing is told to Damage, and left out.
func (r *Reader) Processes(ctx context.Context, q *query.Query, w io.Writer) error {
	manifests, err := ship.Files{Sink: r.Sink}.Manifests(ctx, "", r.Damage)
	if err != nil {
		return err
	}
	list, err := r.Sink.List(ctx, ship.Processes)
	if err != nil {
		return err
	}
	files := r.sealed(sourcesOf(manifests), list, q)
	x := archive.Scanner{Damage: r.Damage, From: func(in *archive.Intake) error {
		for _, f := range files {
			body, err := r.Sink.Get(ctx, f.Name)
			if err != nil && ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				r.Damage(err)
				continue
			}
			if err := in.Body(f.Name, body); err != nil {
				return err
			}
		}
		return nil
	}}
	return x.Run(q, w)
}

// sealed are the files that count: of those that have the same rows, that which a manifest
// names, and else the last. Two hosts with one identity have each their own.
func (r *Reader) sealed(all map[string]*source, list []ship.Object, q *query.Query) (files []ship.Sealed) {
	there, best := map[string]bool{}, map[string]int{}
	named := map[string]bool{}
	for _, o := range list {
		there[o.Name] = true
	}
	for _, s := range all {
		for i := range s.manifests {
			for _, item := range s.manifests[i].Items {
				f, ok := ship.ParseSealed(item.Name)
				if !ok || !inDays(q, f.Day) {
					continue
				}
				named[item.Name] = true
				if !there[item.Name] && &s.manifests[i] == s.last() {
					r.Damage(fmt.Errorf("%s: %s is not there", s.host, item.Name))
				}
			}
		}
	}
	for _, o := range list {
		f, ok := ship.ParseSealed(o.Name)
		if !ok || !inDays(q, f.Day) {
			continue
		}
		key := f.Day + f.Base
		s := all[f.Source]
		if s != nil && s.twins[f.Writer] {
			key += f.Writer
		}
		i, known := best[key]
		if !known {
			best[key] = len(files)
			files = append(files, f)
			continue
		}
		rank := func(f *ship.Sealed) int {
			n := 0
			if s != nil {
				n = 1 + s.rank(f.Writer)
			}
			if named[f.Name] {
				n += 1 << 20
			}
			return n
		}
		if cmp.Or(cmp.Compare(rank(&f), rank(&files[i])), cmp.Compare(f.Try, files[i].Try)) > 0 {
			files[i] = f
		}
	}
	slices.SortFunc(files, func(a, b ship.Sealed) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Name, b.Name))
	})
	return files
}

// inDays tells whether a query may ask for rows of a day.
func inDays(q *query.Query, day string) bool {
	return (q.Since.IsZero() || day >= q.Since.UTC().Format(time.DateOnly)) && (q.Until.IsZero() || day <= q.Until.UTC().Format(time.DateOnly))
}

// Processes writes the processes of all hosts that sent theirs, in the order of sources.
// The engine finds them.
func (t *Tables) Processes(ctx context.Context, q *query.Query, w io.Writer) error {
	manifests, err := t.Place.Manifests(ctx, "", t.Damage)
	if err != nil {
		return err
	}
	host := "''" // rows that two writers sent of one host are one
	if twins := twinsOf(sourcesOf(manifests)); twins != nil {
		host = fmt.Sprintf("if(concat(toString(source), writer) IN %s, writer, '')", clickhouse.List(twins))
	}
	where := []string{"1"}
	add := func(on bool, format string, args ...any) {
		if on {
			where = append(where, fmt.Sprintf(format, args...))
		}
	}
	add(!q.Since.IsZero(), "ended >= fromUnixTimestamp64Nano(%d, 'UTC')", q.Since.UnixNano())
	add(!q.Until.IsZero(), "ended < fromUnixTimestamp64Nano(%d, 'UTC')", q.Until.UnixNano())
	add(q.Group != "", "has(groups, %s)", clickhouse.Quote(q.Group))
	add(q.Command != "", "command = %s", clickhouse.Quote(q.Command))
	add(q.PID != 0, "pid = %d", q.PID)
	if id, err := strconv.ParseUint(q.User, 10, 32); err == nil {
		add(true, "(user_name = %s OR uid = %d)", clickhouse.Quote(q.User), id)
	} else {
		add(q.User != "", "user_name = %s", clickhouse.Quote(q.User))
	}
	x := archive.Scanner{Damage: t.Damage, From: func(in *archive.Intake) error {
		return t.Place.Query(ctx, fmt.Sprintf("SELECT %s FROM processes FINAL WHERE %s ORDER BY source, seq, writer LIMIT 1 BY source, seq, %s",
			archive.Selection, strings.Join(where, " AND "), host), in.Answer)
	}}
	return x.Run(q, w)
}
