// SPDX-License-Identifier: Apache-2.0

package cells

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"elsa/pkg/usage"
)

// record is a row of a file. Its fields are the columns, in their order.
type record struct {
	Hour         int64    `parquet:"hour,timestamp(millisecond),delta"`
	Groups       []string `parquet:"groups,list" parquet-element:",dict"`
	Unattributed bool     `parquet:"unattributed"`
	UID          uint32   `parquet:"uid,dict"`
	User         string   `parquet:"user_name,dict"`
	Command      string   `parquet:"command,dict"`
	Source       string   `parquet:"source,dict"`
	Host         string   `parquet:"host,dict"`
	Version      uint64   `parquet:"version,delta"`
	Started      uint64   `parquet:"processes_started,delta"`
	Ended        uint64   `parquet:"processes_ended,delta"`
	CPUUser      uint64   `parquet:"cpu_user_ns,delta"`
	CPUSystem    uint64   `parquet:"cpu_system_ns,delta"`
	Elapsed      uint64   `parquet:"elapsed_ns,delta"`
	MinorFaults  uint64   `parquet:"minor_faults,delta"`
	MajorFaults  uint64   `parquet:"major_faults,delta"`
	ReadBytes    uint64   `parquet:"read_bytes,delta"`
	WriteBytes   uint64   `parquet:"write_bytes,delta"`
	ReadChars    uint64   `parquet:"read_chars,delta"`
	WriteChars   uint64   `parquet:"write_chars,delta"`
	MaxRSS       uint64   `parquet:"max_rss_bytes,delta"`
	Voluntary    uint64   `parquet:"voluntary_switches,delta"`
	Involuntary  uint64   `parquet:"involuntary_switches,delta"`
	ExitNonzero  uint64   `parquet:"exit_nonzero,delta"`
	ExitSignal   uint64   `parquet:"exit_signal,delta"`
	Exact        uint64   `parquet:"exact,delta"`
	Sampled      uint64   `parquet:"sampled,delta"`
	Rounded      uint64   `parquet:"rounded,delta"`
	Inferred     uint64   `parquet:"inferred,delta"`
	CPUDelay     uint64   `parquet:"cpu_delay_ns,delta"`
	Writer       string   `parquet:"writer,dict"`
}

// members are where record has the stored fields of a usage.
var members = func() (at [len(usage.Stored)]int) {
	typ := reflect.TypeFor[record]()
	for i, f := range usage.Stored {
		at[i] = -1
		for k := range typ.NumField() {
			if name, _, _ := strings.Cut(typ.Field(k).Tag.Get("parquet"), ","); name == f.Info().Column() {
				at[i] = k
			}
		}
	}
	return at
}()

// Columns are the names of the columns, in their order.
func Columns() (names []string) {
	for _, path := range parquet.SchemaOf(record{}).Columns() {
		names = append(names, path[0])
	}
	return names
}

const hourMS = 3600 * 1000

// Encode is the block as a file.
func Encode(b *Block) ([]byte, error) {
	var out bytes.Buffer
	w := parquet.NewGenericWriter[record](&out, parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest, Concurrency: 1}),
		parquet.PageBufferSize(16<<10), parquet.MaxRowsPerRowGroup(16<<10), parquet.WriteBufferSize(32<<10), parquet.CreatedBy("elsa", "1", ""))
	rows := make([]record, len(b.Cells))
	for i := range b.Cells {
		c := &b.Cells[i]
		rows[i] = record{
			Hour: int64(b.Hour) * hourMS, Groups: c.Groups, Unattributed: c.Unattributed, UID: c.UID, User: c.User, Command: c.Command,
			Source: b.Source, Host: b.Host, Version: b.Version, Writer: b.Writer,
		}
		v := reflect.ValueOf(&rows[i]).Elem()
		for k, f := range usage.Stored {
			v.Field(members[k]).SetUint(c.Usage[f])
		}
	}
	if _, err := w.Write(rows); err != nil {
		return nil, fmt.Errorf("encode cells: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encode cells: %w", err)
	}
	return out.Bytes(), nil
}

// maxRows bounds the cells of a file that is read.
const maxRows = 1 << 20

// Decode reads a file. What is damaged, or not of one hour of one source, is an error.
func Decode(b []byte) (block *Block, err error) {
	defer func() {
		if p := recover(); p != nil {
			block, err = nil, fmt.Errorf("decode cells: the file is damaged: %v", p)
		}
	}()
	f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)), parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return nil, fmt.Errorf("decode cells: %w", err)
	}
	if f.NumRows() > maxRows {
		return nil, fmt.Errorf("decode cells: %d rows are more than %d", f.NumRows(), maxRows)
	}
	r := parquet.NewGenericReader[record](f)
	defer r.Close()
	rows := make([]record, f.NumRows())
	for n := 0; n < len(rows); {
		k, err := r.Read(rows[n:])
		n += k
		if err != nil && (!errors.Is(err, io.EOF) || n < len(rows)) {
			return nil, fmt.Errorf("decode cells: %w", err)
		}
	}
	return blockOf(rows)
}

func blockOf(rows []record) (*Block, error) {
	if len(rows) == 0 {
		return nil, errors.New("decode cells: there are none")
	}
	first := &rows[0]
	b := &Block{Source: first.Source, Host: first.Host, Hour: uint32(first.Hour / hourMS), Version: first.Version, Writer: first.Writer, Cells: make([]Cell, len(rows))}
	for i := range rows {
		r := &rows[i]
		if r.Hour != first.Hour || r.Source != first.Source || r.Version != first.Version || r.Writer != first.Writer {
			return nil, errors.New("decode cells: they are of several hours, sources, versions or writers")
		}
		c := Cell{Groups: r.Groups, Unattributed: r.Unattributed, UID: r.UID, User: r.User, Command: r.Command}
		if len(c.Groups) == 0 {
			c.Groups = nil // as they were
		}
		v := reflect.ValueOf(r).Elem()
		for k, f := range usage.Stored {
			c.Usage[f] = v.Field(members[k]).Uint()
		}
		b.Cells[i] = c
	}
	return b, nil
}
