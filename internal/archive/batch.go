// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
)

// batch is some rows, by columns that are read when they are asked for.
type batch struct {
	n      int
	ints   [columns][]int64 // of columns that are no text; a status that is not known is -1
	codes  [columns][]int32 // of text: the places in texts
	texts  [columns][]string
	starts []int32 // the groups of row i are codes[Groups][starts[i]:starts[i+1]]
	there  [columns]bool
	read   func(*batch, Column) error
}

// need reads columns.
func (b *batch) need(cs ...Column) error {
	for _, c := range cs {
		if b.there[c] {
			continue
		}
		if b.read == nil {
			return fmt.Errorf("no column %s", c.Name())
		}
		if err := b.read(b, c); err != nil {
			return fmt.Errorf("column %s: %w", c.Name(), err)
		}
		b.there[c] = true
	}
	return nil
}

// reset makes room for n other rows.
func (b *batch) reset(n int) {
	b.n, b.there = n, [columns]bool{}
	for c := range columns {
		b.ints[c], b.codes[c], b.texts[c] = b.ints[c][:0], b.codes[c][:0], b.texts[c][:0]
	}
	b.starts = b.starts[:0]
}

// groupsOf are the places in texts[Groups] of the groups of a row.
func (b *batch) groupsOf(i int32) []int32 { return b.codes[Groups][b.starts[i]:b.starts[i+1]] }

// str is the text of a row in a column.
func (b *batch) str(c Column, i int32) string { return b.texts[c][b.codes[c][i]] }

// rowGroup makes b the batch of a row group of a file.
func (b *batch) rowGroup(rg parquet.RowGroup) {
	b.reset(int(rg.NumRows()))
	chunks := rg.ColumnChunks()
	b.read = func(b *batch, c Column) error { return b.readColumn(c, chunks[c]) }
}

// readColumn reads a column by its pages.
func (b *batch) readColumn(c Column, chunk parquet.ColumnChunk) error {
	pages := chunk.Pages()
	defer pages.Close()
	var dict []string
	values := 0
	for values < int(chunk.NumValues()) {
		p, err := pages.ReadPage()
		if err != nil {
			return err
		}
		values += int(p.NumValues())
		switch {
		case text[c]:
			if dict == nil {
				dict = b.readDictionary(c, p.Dictionary())
			}
			err = b.addText(c, p, len(dict))
		default:
			err = b.addInts(c, p)
		}
		parquet.Release(p)
		if err != nil {
			return err
		}
	}
	got := len(b.ints[c]) + len(b.codes[c])
	if c == Groups {
		b.starts = append(b.starts, int32(len(b.codes[c])))
		got = len(b.starts) - 1
	}
	if got != b.n {
		return fmt.Errorf("%d values in %d rows", got, b.n)
	}
	return nil
}

func (b *batch) readDictionary(c Column, d parquet.Dictionary) []string {
	if d == nil {
		return nil
	}
	for i := range d.Len() {
		b.texts[c] = append(b.texts[c], d.Index(int32(i)).String())
	}
	return b.texts[c]
}

// addText adds the values of a page that has places in a dictionary.
func (b *batch) addText(c Column, p parquet.Page, known int) error {
	if p.Dictionary() == nil {
		return fmt.Errorf("a page has no dictionary")
	}
	data := p.Data()
	codes := data.Int32()
	for _, code := range codes {
		if code < 0 || int(code) >= known {
			return fmt.Errorf("value %d of a dictionary of %d", code, known)
		}
	}
	if c != Groups {
		b.codes[c] = append(b.codes[c], codes...)
		return nil
	}
	levels, repeated := p.DefinitionLevels(), p.RepetitionLevels()
	if len(levels) != len(repeated) {
		return fmt.Errorf("levels do not match")
	}
	full, k := byte(1), 0
	for i, l := range levels {
		if repeated[i] == 0 {
			b.starts = append(b.starts, int32(len(b.codes[c])))
		}
		if l >= full {
			if k == len(codes) {
				return fmt.Errorf("too few values")
			}
			b.codes[c] = append(b.codes[c], codes[k])
			k++
		}
	}
	return nil
}

// addInts adds the values of a page of numbers.
func (b *batch) addInts(c Column, p parquet.Page) error {
	list := b.ints[c]
	data := p.Data()
	if d := p.Dictionary(); d != nil {
		values := make([]int64, d.Len())
		for i := range values {
			values[i] = number(d.Index(int32(i)))
		}
		codes := data.Int32()
		levels := p.DefinitionLevels()
		if c != Status {
			levels = nil
		}
		k := 0
		next := func() error {
			if k == len(codes) || codes[k] < 0 || int(codes[k]) >= len(values) {
				return fmt.Errorf("a value is not in the dictionary")
			}
			list = append(list, values[codes[k]])
			k++
			return nil
		}
		for _, l := range levels {
			if l == 0 {
				list = append(list, -1)
			} else if err := next(); err != nil {
				return err
			}
		}
		for k < len(codes) {
			if err := next(); err != nil {
				return err
			}
		}
		b.ints[c] = list
		return nil
	}
	switch data.Kind() {
	case encoding.Boolean:
		bits := data.Boolean()
		for i := range int(p.NumValues()) {
			list = append(list, int64(bits[i/8]>>(i%8)&1))
		}
	case encoding.Int32:
		for _, v := range data.Int32() {
			list = append(list, int64(v))
		}
	case encoding.Int64:
		list = append(list, data.Int64()...)
	default:
		return fmt.Errorf("values of kind %v", data.Kind())
	}
	b.ints[c] = list
	return nil
}

func number(v parquet.Value) int64 {
	if v.Kind() == parquet.Int32 {
		return int64(v.Uint32())
	}
	return v.Int64()
}

// add adds a row of the journal. All columns are there.
func (b *batch) add(c *record) {
	for col := range columns {
		b.there[col] = true
	}
	b.n++
	if len(b.starts) == 0 {
		b.starts = append(b.starts, 0)
	}
	for col := range columns {
		switch {
		case numberOf[col] != nil:
			b.ints[col] = append(b.ints[col], numberOf[col](c))
		case textOf[col] != nil:
			b.codes[col] = append(b.codes[col], b.place(col, textOf[col](c)))
		}
	}
	for _, g := range c.Groups {
		b.codes[Groups] = append(b.codes[Groups], b.place(Groups, g))
	}
	b.starts = append(b.starts, int32(len(b.codes[Groups])))
}

// place is where a text is among those of a column. There are few.
func (b *batch) place(c Column, s string) int32 {
	for i, t := range b.texts[c] {
		if t == s {
			return int32(i)
		}
	}
	b.texts[c] = append(b.texts[c], s)
	return int32(len(b.texts[c]) - 1)
}

func bit(on bool) int64 {
	if on {
		return 1
	}
	return 0
}
