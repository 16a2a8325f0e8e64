// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"testing"
	"time"

	"elsa/internal/journal"
)

// BenchmarkFormats: rows a second that are written, and the time beside that of encoding
// the same rows by reflection, in the same run.
func BenchmarkFormats(b *testing.B) {
	list := machine(5000, 100)
	h := newHeader(journal.Header{Number: 1, Source: testSource, Host: "node1"})
	records := make([]record, len(list))
	for i := range list {
		records[i].fill(h, &list[i])
	}
	reflected := map[string]func(*record){}
	reflected["json"] = func(c *record) { json.Marshal(c) }
	table := csv.NewWriter(io.Discard)
	reflected["csv"] = func(c *record) {
		v := reflect.ValueOf(c).Elem()
		var fields []string
		for i := range v.NumField() {
			fields = append(fields, fmt.Sprint(v.Field(i).Interface()))
		}
		table.Write(fields)
	}
	for format, other := range reflected {
		b.Run(format, func(b *testing.B) {
			var ours, theirs time.Duration
			n := 0
			for b.Loop() {
				begin := time.Now()
				o := newRows(format, bufio.NewWriter(io.Discard))
				for i := range records {
					o.put(&records[i])
				}
				o.end()
				between := time.Now()
				for i := range records {
					other(&records[i])
				}
				ours += between.Sub(begin)
				theirs += time.Since(between)
				n += len(records)
			}
			b.ReportMetric(float64(n)/ours.Seconds(), "rows/s")
			b.ReportMetric(float64(ours)/float64(theirs), "reflection")
		})
	}
}
