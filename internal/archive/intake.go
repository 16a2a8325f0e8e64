// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"errors"
	"fmt"

	"elsa/internal/clickhouse"
)

// Intake takes rows from elsewhere than the archive of this host, for a [Scanner] that has
// From. Its errors end the reading.
type Intake struct {
	x    *Scanner
	m    *match
	sink sink
	rec  record
	part uint32
}

// Body takes the rows of a sealed file. A damaged one is told to Damage, and passed over.
func (in *Intake) Body(name string, b []byte) error {
	err := in.x.parquet(bytes.NewReader(b), int64(len(b)), in.m, in.sink)
	in.x.batch.reset(0)
	in.x.batch.read = nil
	if err == nil || isSink(err) {
		return err
	}
	in.x.Damage(fmt.Errorf("read %s: %w", name, err))
	return nil
}

// Selection are the columns that [Intake.Answer] reads, in the table of processes.
const Selection = `toString(source), segment, seq, part, CAST(host, 'String'), CAST(boot, 'String'), ended, started_ns, elapsed_ns, pid, ppid, parent_started_ns,
	CAST(groups, 'Array(String)'), unattributed, uid, gid, CAST(user_name, 'String'), CAST(command, 'String'), toInt64(ifNull(status, -1)),
	cpu_user_ns, cpu_system_ns, cpu_delay_ns, minor_faults, major_faults, read_bytes, write_bytes, read_chars, write_chars, max_rss_bytes,
	voluntary_switches, involuntary_switches, CAST(precision, 'String'), inferred`

// Answer takes a row that an engine found.
func (in *Intake) Answer(r *clickhouse.Row) error {
	c := &in.rec
	*c = record{
		Source: r.Text(), Segment: r.U64(), Seq: r.U64(), Part: r.U32(), Host: r.Text(), Boot: r.Text(), Ended: r.I64(), Started: r.I64(),
		Elapsed: r.U64(), PID: int32(r.U32()), PPID: int32(r.U32()), ParentStarted: r.I64(), Groups: r.Texts(), Unattributed: r.U8() != 0,
		UID: r.U32(), GID: r.U32(), User: r.Text(), Command: r.Text(), Status: in.status(r.I64()),
		CPUUser: r.U64(), CPUSystem: r.U64(), CPUDelay: r.U64(), MinorFaults: r.U64(), MajorFaults: r.U64(), ReadBytes: r.U64(), WriteBytes: r.U64(),
		ReadChars: r.U64(), WriteChars: r.U64(), MaxRSS: r.U64(), Voluntary: r.U64(), Involuntary: r.U64(), Precision: r.Text(), Inferred: r.U8() != 0,
	}
	if r.Err() != nil {
		return r.Err()
	}
	if in.x.batch.add(c); in.x.batch.n < journalRows {
		return nil
	}
	return in.flush()
}

func (in *Intake) status(n int64) *uint32 {
	if n < 0 {
		return nil
	}
	in.part = uint32(n)
	return &in.part
}

func (in *Intake) flush() error {
	err := in.x.match(in.m, in.sink)
	in.x.batch.reset(0)
	return err
}

// from scans what From hands over.
func (x *Scanner) from(m *match, s sink) error {
	in := &Intake{x: x, m: m, sink: s}
	x.batch.reset(0)
	x.batch.read = nil
	err := x.From(in)
	if err == nil && x.batch.n > 0 {
		err = in.flush()
	}
	if bad, ok := errors.AsType[*sinkError](err); ok {
		return bad
	}
	return err
}
