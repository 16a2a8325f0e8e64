// SPDX-License-Identifier: Apache-2.0

// Package archive keeps the rows of ended processes as Parquet files, one directory a
// UTC day, and reads them. Files are sealed from segments of the journal, and never
// changed: the same segment makes the same bytes. docs/schema.md describes the columns.
package archive

import (
	"encoding/hex"
	"fmt"
	"path/filepath"

	"github.com/parquet-go/parquet-go"

	"elsa/internal/journal"
	"elsa/pkg/usage"
)

// record is a row of a file. Its fields are the columns, in their order.
type record struct {
	Source        string   `parquet:"source,dict"`
	Segment       uint64   `parquet:"segment,delta"`
	Seq           uint64   `parquet:"seq,delta"`
	Part          uint32   `parquet:"part,dict"`
	Host          string   `parquet:"host,dict"`
	Boot          string   `parquet:"boot,dict"`
	Ended         int64    `parquet:"ended,timestamp(nanosecond),delta"`
	Started       int64    `parquet:"started_ns,delta"`
	Elapsed       uint64   `parquet:"elapsed_ns,delta"`
	PID           int32    `parquet:"pid,delta"`
	PPID          int32    `parquet:"ppid,delta"`
	ParentStarted int64    `parquet:"parent_started_ns,delta"`
	Groups        []string `parquet:"groups,list" parquet-element:",dict"`
	Unattributed  bool     `parquet:"unattributed"`
	UID           uint32   `parquet:"uid,dict"`
	GID           uint32   `parquet:"gid,dict"`
	User          string   `parquet:"user_name,dict"`
	Command       string   `parquet:"command,dict"`
	Status        *uint32  `parquet:"status,optional,dict"`
	CPUUser       uint64   `parquet:"cpu_user_ns,delta"`
	CPUSystem     uint64   `parquet:"cpu_system_ns,delta"`
	CPUDelay      uint64   `parquet:"cpu_delay_ns,delta"`
	MinorFaults   uint64   `parquet:"minor_faults,delta"`
	MajorFaults   uint64   `parquet:"major_faults,delta"`
	ReadBytes     uint64   `parquet:"read_bytes,delta"`
	WriteBytes    uint64   `parquet:"write_bytes,delta"`
	ReadChars     uint64   `parquet:"read_chars,delta"`
	WriteChars    uint64   `parquet:"write_chars,delta"`
	MaxRSS        uint64   `parquet:"max_rss_bytes,delta"`
	Voluntary     uint64   `parquet:"voluntary_switches,delta"`
	Involuntary   uint64   `parquet:"involuntary_switches,delta"`
	Precision     string   `parquet:"precision,dict"`
	Inferred      bool     `parquet:"inferred"`
}

// Column is a column of a file, by its place.
type Column int

// The columns, in the order of record.
const (
	Source Column = iota
	SegmentNumber
	Seq
	Part
	Host
	Boot
	Ended
	Started
	Elapsed
	PID
	PPID
	ParentStarted
	Groups
	Unattributed
	UID
	GID
	UserName
	Command
	Status
	CPUUser
	CPUSystem
	CPUDelay
	MinorFaults
	MajorFaults
	ReadBytes
	WriteBytes
	ReadChars
	WriteChars
	MaxRSS
	VoluntarySwitches
	InvoluntarySwitches
	Precision
	Inferred

	columns
)

// Name is the column's name in files and in output.
func (c Column) Name() string { return names[c] }

var schema = parquet.SchemaOf(record{})

var names = func() (n [columns]string) {
	for i, path := range schema.Columns() {
		n[i] = path[0]
	}
	return n
}()

// text tells which columns are strings.
var text = [columns]bool{Source: true, Host: true, Boot: true, Groups: true, UserName: true, Command: true, Precision: true}

// uuid is the text of an id.
func uuid(id [16]byte) string {
	s := hex.EncodeToString(id[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// fill makes c the record of a row of segment h. Its texts are those of row, header and
// strings, which keeps what was made before.
func (c *record) fill(h *header, r *journal.Row) {
	m := &r.Measure
	*c = record{
		Source: h.source, Segment: h.Number, Seq: r.Seq, Part: r.Part, Host: h.Host, Boot: h.boot,
		Ended: r.End, Started: r.Start, Elapsed: m[usage.Elapsed], PID: r.PID, PPID: r.PPID, ParentStarted: r.ParentStart,
		Groups: r.Groups.Names, Unattributed: r.Groups.Unattributed, UID: r.UID, GID: r.GID, User: r.User,
		Command: h.command(r.Comm), CPUUser: m[usage.User], CPUSystem: m[usage.System], CPUDelay: m[usage.CPUDelay],
		MinorFaults: m[usage.MinorFaults], MajorFaults: m[usage.MajorFaults], ReadBytes: m[usage.ReadBytes],
		WriteBytes: m[usage.WriteBytes], ReadChars: m[usage.ReadChars], WriteChars: m[usage.WriteChars], MaxRSS: m[usage.MaxRSS],
		Voluntary: m[usage.VoluntarySwitches], Involuntary: m[usage.InvoluntarySwitches],
		Precision: r.Precision.String(), Inferred: r.Inferred,
	}
	if r.Exited {
		c.Status = h.status(r.Status)
	}
}

// header is what the rows of a segment have alike, and the texts that were made.
type header struct {
	journal.Header
	source, boot string
	commands     map[[16]byte]string
	statuses     map[uint32]*uint32
}

func newHeader(h journal.Header) *header {
	return &header{h, uuid(h.Source), uuid(h.Boot), map[[16]byte]string{}, map[uint32]*uint32{}}
}

// madeOf begins the names of all files of the segment: the source, a UUID, and the
// number of the segment in ten digits.
func (h *header) madeOf() string { return fmt.Sprintf("%s-%010d", h.source, h.Number) }

// madeOf is what header.madeOf was for a file.
func (f *File) madeOf() string {
	name := filepath.Base(f.Path)
	return name[:min(len(name), len("00000000-0000-0000-0000-000000000000-0000000000"))]
}

func (h *header) command(comm [16]byte) string {
	s, ok := h.commands[comm]
	if !ok {
		s = commandName(comm)
		h.commands[comm] = s
	}
	return s
}

func (h *header) status(n uint32) *uint32 {
	p, ok := h.statuses[n]
	if !ok {
		p = &n
		h.statuses[n] = p
	}
	return p
}
