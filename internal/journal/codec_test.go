// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"elsa/pkg/usage"
)

// entry is anything that a visitor is told.
type entry struct {
	Row     *Row
	Fix     *Fix
	Settled uint64
	Lost    Lost
}

// collect returns a visitor that appends to list, and counts damage.
func collect(list *[]entry, damage *[]*Damage) *Visitor {
	return &Visitor{
		Row:     func(r *Row) { c := *r; *list = append(*list, entry{Row: &c}) },
		Fix:     func(f *Fix) { c := *f; *list = append(*list, entry{Fix: &c}) },
		Settled: func(seq uint64) { *list = append(*list, entry{Settled: seq}) },
		Lost:    func(l Lost) { *list = append(*list, entry{Lost: l}) },
		Damage: func(d *Damage) {
			if damage != nil {
				*damage = append(*damage, d)
			}
		},
	}
}

// put encodes an entry.
func (x *entry) put(e *Encoder) {
	switch {
	case x.Row != nil:
		e.Row(x.Row)
	case x.Fix != nil:
		e.Fix(x.Fix)
	case x.Settled != 0:
		e.Settled(x.Settled)
	default:
		e.Lost(x.Lost)
	}
}

// decodeAll tells what is in blocks.
func decodeAll(b []byte, v *Visitor) error {
	var d decoder
	for len(b) > 0 {
		payload, err := payloadOf(b)
		if err != nil || payload == nil {
			return errBlock
		}
		if err := d.block(payload, v); err != nil {
			return err
		}
		b = b[blockHeader+len(payload):]
	}
	return nil
}

// TestModelCodec: what is decoded is what was encoded, whatever it is and however it
// is cut in blocks; also where rows are told briefly, or passed over.
func TestModelCodec(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e Encoder
		var want []entry
		seq := uint64(0)
		for range rapid.IntRange(1, 40).Draw(t, "entries") {
			var x entry
			switch rapid.IntRange(0, 9).Draw(t, "kind") {
			case 0:
				x.Fix = &Fix{Seq: rapid.Uint64().Draw(t, "seq"), Measure: drawMeasure(t), Precision: Exact, Status: 9, Exited: true}
			case 1:
				x.Settled = rapid.Uint64Range(1, 1<<63).Draw(t, "settled")
			case 2:
				x.Lost = Lost{rapid.Uint64().Draw(t, "rows"), 3}
			case 3:
				e.Close()
				continue
			default:
				seq += rapid.Uint64Range(1, 3).Draw(t, "gap")
				r := drawRow(t, seq)
				x.Row = &r
			}
			want = append(want, x)
			x.put(&e)
		}
		e.Close()
		var got []entry
		if err := decodeAll(e.Bytes(), collect(&got, nil)); err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		for _, brief := range []bool{true, false} {
			var less, told []entry
			v := collect(&told, nil)
			if v.Brief = brief; !brief {
				v.Row = nil
			}
			if err := decodeAll(e.Bytes(), v); err != nil {
				t.Fatal(err)
			}
			for _, x := range want {
				if x.Row != nil && !brief {
					continue
				}
				if x.Row != nil {
					x.Row.Measure = usage.Measure{}
				}
				less = append(less, x)
			}
			if diff := gocmp.Diff(less, told); diff != "" {
				t.Fatalf("brief %v: %s", brief, diff)
			}
		}
	})
}

// TestLargestBlock: an entry of the largest definitions, put last in a full block, does
// not make it too large to be read.
func TestLargestBlock(t *testing.T) {
	var e Encoder
	rows := builds(3000)
	long := make([]byte, maxText+50)
	for i := range long {
		long[i] = 'x'
	}
	n := 0
	for i := range rows {
		if len(e.out)-e.start > blockSize-100 {
			rows[i].Groups = &Groups{Names: slices.Repeat([]string{string(long)}, maxGroups+5)}
		}
		rows[i].User = string(long)
		e.Row(&rows[i])
	}
	e.Close()
	if err := decodeAll(e.Bytes(), &Visitor{Row: func(r *Row) {
		if n++; len(r.User) != maxText || len(r.Groups.Names) > maxGroups {
			t.Fatalf("user of %d bytes, %d groups", len(r.User), len(r.Groups.Names))
		}
	}}); err != nil || n != len(rows) {
		t.Errorf("%d rows of %d: %v", n, len(rows), err)
	}
}

// FuzzBlock: a payload of anything is read up to where it makes no sense, and what was
// read is the same when it is encoded and read again.
func FuzzBlock(f *testing.F) {
	var e Encoder
	for _, r := range builds(20) {
		e.Row(&r)
	}
	e.Fix(&Fix{Seq: 3, Precision: Exact})
	e.Settled(7)
	e.Lost(Lost{1, 2})
	e.Close()
	f.Add(e.Bytes()[blockHeader:])
	f.Add([]byte{kindRow, 0xff})
	f.Fuzz(func(t *testing.T, payload []byte) {
		var d decoder
		var got, again []entry
		d.block(payload, collect(&got, nil))
		var e Encoder
		names := map[[2]uint32]string{}
		for i := range got {
			if r := got[i].Row; r != nil { // a writer gives a user one name in a block
				if _, ok := names[[2]uint32{r.UID, r.GID}]; !ok {
					names[[2]uint32{r.UID, r.GID}] = r.User
				}
				r.User = names[[2]uint32{r.UID, r.GID}]
			}
			got[i].put(&e)
		}
		e.Close()
		if err := decodeAll(e.Bytes(), collect(&again, nil)); err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(got, again); diff != "" {
			t.Fatal(diff)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	rows := builds(100_000)
	var e Encoder
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if n%1000 == 0 { // a commit
			e.Reset()
		}
		e.Row(&rows[n%len(rows)])
		n++
	}
	e.Reset()
	for i := range rows {
		e.Row(&rows[i])
	}
	e.Close()
	b.ReportMetric(float64(len(e.Bytes()))/float64(len(rows)), "B/row")
}

func BenchmarkDecode(b *testing.B) {
	rows := builds(1000)
	var e Encoder
	for i := range rows {
		e.Row(&rows[i])
	}
	e.Close()
	n := 0
	for b.Loop() {
		decodeAll(e.Bytes(), &Visitor{Row: func(*Row) { n++ }})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/row")
}
