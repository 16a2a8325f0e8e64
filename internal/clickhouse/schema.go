// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Column is a column of a table.
type Column struct {
	Name, Type string
	// File is its type in the files that are inserted; "" if that is Type.
	File string
	// Codec is how the server keeps it; "" is the server's default.
	Codec string
	// Key: it is in the sorting key, so no ALTER can add it.
	Key bool
}

func (c *Column) declare() string {
	s := c.Name + " " + c.Type
	if c.Codec != "" {
		s += " CODEC(" + c.Codec + ")"
	}
	return s
}

// Table is a table of a fleet.
type Table struct {
	Name    string
	Columns []Column
	// Version is the column of which the highest counts; "": the row that came last.
	Version          string
	Partition, Order string
}

// Names are the names of columns, with commas.
func Names(columns []Column) string {
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = columns[i].Name
	}
	return strings.Join(names, ", ")
}

const (
	low   = "LowCardinality(String)"
	lows  = "Array(LowCardinality(String))"
	utc   = "DateTime('UTC')"
	nanos = "DateTime64(9, 'UTC')"
	delta = "Delta, ZSTD"
	zstd  = "ZSTD"
)

// Cells has the cells of hours, in the columns of package cells. Of the versions of an
// hour that a writer sent, the highest counts.
var Cells = Table{Name: "cells", Version: "version", Partition: "toYYYYMM(hour)",
	Order: "hour, source, writer, command, user_name, uid, groups, unattributed",
	Columns: append([]Column{
		{Name: "hour", Type: utc, Codec: delta, Key: true}, {Name: "groups", Type: lows, Codec: zstd, Key: true}, {Name: "unattributed", Type: "Bool", Key: true},
		{Name: "uid", Type: "UInt32", Codec: zstd, Key: true}, {Name: "user_name", Type: low, Key: true}, {Name: "command", Type: low, Key: true},
		{Name: "source", Type: "UUID", Codec: zstd, Key: true}, {Name: "host", Type: low}, {Name: "version", Type: "UInt64", Codec: zstd, Key: true},
		{Name: "writer", Type: low, Key: true},
	}, numbers("processes_started", "processes_ended", "cpu_user_ns", "cpu_system_ns", "elapsed_ns", "minor_faults", "major_faults", "read_bytes",
		"write_bytes", "read_chars", "write_chars", "max_rss_bytes", "voluntary_switches", "involuntary_switches", "exit_nonzero", "exit_signal",
		"exact", "sampled", "rounded", "inferred", "cpu_delay_ns")...)}

// Processes has the rows of the archive, in the columns of package archive, and then
// which writer sent a row in which file.
var Processes = Table{Name: "processes", Partition: "toYYYYMMDD(ended)", Order: "source, writer, seq", Columns: append(append([]Column{
	{Name: "source", Type: "UUID", File: "String", Codec: zstd, Key: true}, {Name: "segment", Type: "UInt64", Codec: delta},
	{Name: "seq", Type: "UInt64", Codec: delta, Key: true}, {Name: "part", Type: "UInt32", Codec: zstd}, {Name: "host", Type: low, File: "String"},
	{Name: "boot", Type: low, File: "String"}, {Name: "ended", Type: nanos, Codec: delta, Key: true}, {Name: "started_ns", Type: "Int64", Codec: delta},
	{Name: "elapsed_ns", Type: "UInt64", Codec: zstd}, {Name: "pid", Type: "Int32", Codec: delta}, {Name: "ppid", Type: "Int32", Codec: zstd},
	{Name: "parent_started_ns", Type: "Int64", Codec: zstd}, {Name: "groups", Type: lows, File: "Array(String)", Codec: zstd},
	{Name: "unattributed", Type: "Bool"}, {Name: "uid", Type: "UInt32", Codec: zstd}, {Name: "gid", Type: "UInt32", Codec: zstd},
	{Name: "user_name", Type: low, File: "String"}, {Name: "command", Type: low, File: "String"}, {Name: "status", Type: "Nullable(UInt32)", Codec: zstd},
}, numbers("cpu_user_ns", "cpu_system_ns", "cpu_delay_ns", "minor_faults", "major_faults", "read_bytes", "write_bytes", "read_chars", "write_chars",
	"max_rss_bytes", "voluntary_switches", "involuntary_switches")...),
	Column{Name: "precision", Type: low, File: "String"}, Column{Name: "inferred", Type: "Bool"},
	Column{Name: "writer", Type: low, Key: true}, Column{Name: "file", Type: low})}

// SentColumns is how many of the columns of Processes are in its files, the first ones.
var SentColumns = len(Processes.Columns) - 2

// Manifests has the last word of each writer: what it sent, in lists of hours and of
// files, and until when that is all. It is one row so that it is there whole or not.
var Manifests = Table{Name: "manifests", Version: "last", Order: "source, writer", Columns: []Column{
	{Name: "source", Type: "UUID", Key: true}, {Name: "writer", Type: "String", Key: true}, {Name: "host", Type: "String"},
	{Name: "first", Type: "UInt64"}, {Name: "last", Type: "UInt64", Key: true}, {Name: "nonce", Type: "String"},
	{Name: "updated", Type: nanos}, {Name: "through", Type: nanos}, {Name: "every_seconds", Type: "Float64"}, {Name: "final", Type: "Bool"},
	{Name: "lost_items", Type: "UInt64"}, {Name: "lost_rows", Type: "UInt64"}, {Name: "lost_cpu_ns", Type: "UInt64"},
	{Name: "lost_from", Type: "UInt32"}, {Name: "lost_to", Type: "UInt32"},
	{Name: "hours", Type: "Array(" + utc + ")", Codec: zstd}, {Name: "hour_writers", Type: lows, Codec: zstd},
	{Name: "hour_versions", Type: "Array(UInt64)", Codec: zstd}, {Name: "hour_rows", Type: "Array(UInt64)", Codec: zstd}, {Name: "hour_cpu_ns", Type: "Array(UInt64)", Codec: zstd},
	{Name: "files", Type: "Array(String)", Codec: zstd}, {Name: "file_days", Type: "Array(String)", Codec: zstd},
	{Name: "file_rows", Type: "Array(UInt64)", Codec: zstd}, {Name: "file_cpu_ns", Type: "Array(UInt64)", Codec: zstd},
}}

// Requests has what was asked last of the hosts: to send again.
var Requests = Table{Name: "requests", Version: "asked", Order: "source", Columns: []Column{
	{Name: "source", Type: "UUID", Key: true}, {Name: "asked", Type: nanos, Key: true}, {Name: "id", Type: "String"}, {Name: "since", Type: utc},
}}

func numbers(names ...string) (list []Column) {
	for _, name := range names {
		list = append(list, Column{Name: name, Type: "UInt64", Codec: zstd})
	}
	return list
}

// segments is the view of manifests with a row for each hour and each file, for who asks
// by hand.
const segments = `SELECT source, writer, host, through, 'cells' AS kind, hour, hour_writer AS sent_by, version, '' AS file, rows, cpu_ns
FROM %[1]s.manifests FINAL
ARRAY JOIN hours AS hour, hour_writers AS hour_writer, hour_versions AS version, hour_rows AS rows, hour_cpu_ns AS cpu_ns
UNION ALL
SELECT source, writer, host, through, 'processes', toDateTime(file_day, 'UTC'), writer, 0, file, rows, cpu_ns
FROM %[1]s.manifests FINAL
ARRAY JOIN file_days AS file_day, files AS file, file_rows AS rows, file_cpu_ns AS cpu_ns`

// SchemaOptions say which form the tables have.
type SchemaOptions struct {
	Database string
	// Cluster is the name of a cluster, on all hosts of which the tables are made, with
	// tables over its shards; "" is one server.
	Cluster string
	// Replicated: the tables are replicated.
	Replicated bool
}

var clusterName = regexp.MustCompile(`^[A-Za-z0-9_.{}-]+$`)

// Schema are the statements that make the tables of a fleet, and that give tables of an
// earlier version what they lack. They can be run any number of times.
func Schema(o SchemaOptions) (string, error) {
	if !word.MatchString(o.Database) {
		return "", fmt.Errorf("bad database %q: use letters, digits and _", o.Database)
	}
	if o.Cluster != "" && !clusterName.MatchString(o.Cluster) {
		return "", errors.New("bad cluster: use its name in system.clusters, or '{cluster}'")
	}
	on := ""
	if o.Cluster != "" {
		on = " ON CLUSTER " + Quote(o.Cluster)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE DATABASE IF NOT EXISTS %s%s;\n", o.Database, on)
	for _, t := range []*Table{&Cells, &Processes, &Manifests, &Requests} {
		local := o.Database + "." + t.Name
		if o.Cluster != "" {
			local += "_local"
		}
		fmt.Fprintf(&b, "\nCREATE TABLE IF NOT EXISTS %s%s (\n", local, on)
		for i := range t.Columns {
			end := ","
			if i == len(t.Columns)-1 {
				end = ""
			}
			fmt.Fprintf(&b, "  %s%s\n", t.Columns[i].declare(), end)
		}
		fmt.Fprintf(&b, ") ENGINE = %s\n", o.engine(t))
		if t.Partition != "" {
			fmt.Fprintf(&b, "PARTITION BY %s ", t.Partition)
		}
		fmt.Fprintf(&b, "ORDER BY (%s);\n", t.Order)
		b.WriteString(t.alter(local, on, (*Column).declare))
		if o.Cluster != "" { // a source is on one shard, so FINAL there is FINAL
			over := o.Database + "." + t.Name
			fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %s%s AS %s\nENGINE = Distributed(%s, %s, %s, cityHash64(source));\n",
				over, on, local, Quote(o.Cluster), o.Database, t.Name+"_local")
			b.WriteString(t.alter(over, on, func(c *Column) string { return c.Name + " " + c.Type }))
		}
	}
	fmt.Fprintf(&b, "\nCREATE OR REPLACE VIEW %s.segments%s AS\n%s;\n", o.Database, on, fmt.Sprintf(segments, o.Database))
	return b.String(), nil
}

func (o *SchemaOptions) engine(t *Table) string {
	args := []string{}
	name := "ReplacingMergeTree"
	if o.Replicated {
		name = "ReplicatedReplacingMergeTree"
		args = append(args, Quote("/clickhouse/tables/{shard}/"+o.Database+"/"+t.Name), "'{replica}'")
	}
	if t.Version != "" {
		args = append(args, t.Version)
	}
	return name + "(" + strings.Join(args, ", ") + ")"
}

// alter adds what a table of an earlier version lacks.
func (t *Table) alter(name, on string, declare func(*Column) string) string {
	var add []string
	for i := range t.Columns {
		if c := &t.Columns[i]; !c.Key {
			add = append(add, "\n  ADD COLUMN IF NOT EXISTS "+declare(c))
		}
	}
	return "ALTER TABLE " + name + on + strings.Join(add, ",") + ";\n"
}
