// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"elsa/internal/cells"
	"elsa/internal/chdb"
	"elsa/internal/clickhouse"
	"elsa/internal/query"
	"elsa/internal/ship"
	"elsa/pkg/usage"
)

// What a host has in a day, in the test below.
const (
	scaleHours = 24
	scaleCells = 60
)

// scaleCPU is the CPU time of a cell, user and system half each.
func scaleCPU(host, hour, cell, version int) uint64 {
	return 2 * uint64(host*1003+hour*10007+cell*101+version*7)
}

// engineScales: hosts that deliver a day of cells, as versions 1, 3, 2, 3, are on the
// bill to the nanosecond. ELSA_FLEET_HOSTS says how many hosts, several numbers with commas;
// the figures are in the log. The rows are made within the engine, the manifests are sent.
func engineScales(t *testing.T, s *chdb.Server) {
	for _, text := range strings.Split(cmp.Or(os.Getenv("ELSA_FLEET_HOSTS"), "30"), ",") {
		hosts, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		engineScale(t, s, hosts)
	}
}

func engineScale(t *testing.T, s *chdb.Server, hosts int) {
	e := newEngine(t, s)
	first := e.hour(scaleHours)
	chunk := min(hosts, 100) // hosts of a statement; all of one version before the next
	for i := 0; i < 4*hosts; i += chunk {
		from, version := i%hosts, []int{1, 3, 2, 3}[i/hosts]
		e.run(fmt.Sprintf(`INSERT INTO DB.cells (hour, groups, uid, user_name, command, source, host, version, writer, processes_ended, exact, cpu_user_ns, cpu_system_ns)
			SELECT toDateTime((%d + t) * 3600, 'UTC'), [concat('g', toString(c %% 13))], 1000 + c %% 20, concat('u', toString(c %% 20)), concat('c', toString(c)),
				toUUID(concat(leftPad(toString(h + 1), 8, '0'), '-0000-5000-8000-000000000000')), concat('node', toString(h + 1)), %d, 'aaaaaaaa', 1, 1,
				h * 1003 + t * 10007 + c * 101 + %d * 7 AS half, half
			FROM (SELECT %d + intDiv(number, %d) AS h, intDiv(number, %d) %% %d AS t, number %% %d AS c FROM numbers(%d))`,
			first, version, version, from, scaleHours*scaleCells, scaleCells, scaleHours, scaleCells, chunk*scaleHours*scaleCells))
	}
	var all uint64
	for host := range hosts {
		m := &ship.Manifest{Source: fmt.Sprintf("%08d-0000-5000-8000-000000000000", host+1), Host: fmt.Sprint("node", host+1), Writer: "aaaaaaaa", First: 1, Last: 1,
			Nonce: "n", Updated: e.clock.now, Through: e.clock.now, Every: 300}
		for hour := range scaleHours {
			i := ship.Item{Hour: first + uint32(hour), Version: 3, Rows: scaleCells}
			i.Name = ship.Cells{Source: m.Source, Hour: i.Hour, Version: 3, Writer: m.Writer}.Name()
			for cell := range scaleCells {
				i.CPU += scaleCPU(host, hour, cell, 3)
			}
			all += i.CPU
			m.Items = append(m.Items, i)
		}
		if err := e.reader.Place.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	var took []string
	since := usage.HourStart(first)
	for _, q := range []query.Fleet{{By: "command", Since: since}, {By: "user", Since: since}, {By: "host", Since: since}, {By: "group", Groups: []string{"g1"}, Since: since}} {
		begin, cpu := time.Now(), s.CPU(t)
		r := e.report(q)
		took = append(took, fmt.Sprintf("by %s %.2f s (engine %.2f s of CPU)", q.By, time.Since(begin).Seconds(), (s.CPU(t)-cpu).Seconds()))
		if r.Fleet.Complete != hosts || r.Fleet.Hosts != hosts {
			t.Errorf("%d hosts: %d of %d are complete", hosts, r.Fleet.Complete, r.Fleet.Hosts)
		}
		if got := uint64(r.Total.CPUSeconds*1e9 + 0.5); q.Groups == nil && (got != all || r.Total.Processes != uint64(hosts*scaleHours*scaleCells)) {
			t.Errorf("%d hosts by %s: %d ns, %d were sent", hosts, q.By, got, all)
		}
	}
	t.Logf("%d hosts: %s", hosts, strings.Join(took, ", "))
	size := e.run("OPTIMIZE TABLE DB.cells FINAL;\nSELECT sum(data_compressed_bytes), sum(rows) FROM system.parts WHERE active AND table = 'cells' AND database = trim(TRAILING '.' FROM 'DB.')")
	t.Logf("%d hosts: bytes and rows on disk, merged: %s", hosts, strings.TrimSpace(size))
}

// engineInserts measures deliveries, one after the other: a file of cells of an hour,
// its comparison, and a manifest. ELSA_FLEET_INSERTS says how many.
func engineInserts(t *testing.T, s *chdb.Server) {
	n, _ := strconv.Atoi(cmp.Or(os.Getenv("ELSA_FLEET_INSERTS"), "5"))
	e := newEngine(t, s)
	var sent, bytes int
	begin, cpu := time.Now(), s.CPU(t)
	for k := range n {
		c := ship.Cells{Source: fmt.Sprintf("%08d-0000-5000-8000-000000000000", k%300+1), Hour: e.hour(1), Version: uint64(k/300 + 1), Writer: "aaaaaaaa"}
		b := &cells.Block{Source: c.Source, Host: "node", Hour: c.Hour, Version: c.Version, Writer: c.Writer}
		for i := range scaleCells {
			b.Cells = append(b.Cells, cells.Cell{Command: fmt.Sprint("c", i), Groups: []string{fmt.Sprint("g", i%13)}, Usage: usage.Usage{usage.User: scaleCPU(k, 0, i, 1), usage.Ended: 1}})
		}
		body, err := cells.Encode(b)
		if err != nil {
			t.Fatal(err)
		}
		item := ship.Item{Name: c.Name(), Hour: c.Hour, Version: c.Version, Rows: scaleCells, CPU: b.CPU()}
		if err := e.reader.Place.Put(t.Context(), &item, body); err != nil {
			t.Fatal(err)
		}
		if err := e.reader.Place.Check(t.Context(), &item); err != nil {
			t.Fatal(err)
		}
		m := &ship.Manifest{Source: c.Source, Host: "node", Writer: c.Writer, First: 1, Last: uint64(k + 1), Nonce: "n", Updated: e.clock.now, Through: e.clock.now, Items: []ship.Item{item}}
		if err := e.reader.Place.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		sent++
		bytes += len(body)
	}
	rows := uint64(0)
	if err := e.reader.Place.Query(t.Context(), "SELECT count() FROM cells FINAL", func(r *clickhouse.Row) error { rows = r.U64(); return nil }); err != nil {
		t.Fatal(err)
	}
	if want := uint64(min(n, 300) * scaleCells); rows != want {
		t.Errorf("%d cells, not %d", rows, want)
	}
	t.Logf("%d deliveries in %.1f s, %.1f a second; %d bytes and %d ms of the engine's CPU each", sent, time.Since(begin).Seconds(), float64(sent)/time.Since(begin).Seconds(), bytes/sent,
		(s.CPU(t)-cpu).Milliseconds()/int64(sent))
}
