// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"math/rand/v2"
	"strconv"

	"pgregory.net/rapid"

	"elsa/pkg/usage"
)

var testSets = []*Groups{
	{}, {Unattributed: true}, {Names: []string{"ci"}}, {Names: []string{"build/1000", "ci"}}, {Names: []string{"nightly"}},
	{Names: []string{"a", "b", "c", "d"}},
}

// drawRow draws a row that a journal may be given.
func drawRow(t *rapid.T, seq uint64) Row {
	time := rapid.Int64Range(-1<<60, 1<<61)
	r := Row{
		Seq: seq, Part: rapid.Uint32Range(0, 3).Draw(t, "part"), PID: rapid.Int32().Draw(t, "pid"), PPID: rapid.Int32().Draw(t, "ppid"),
		Start: time.Draw(t, "start"), End: time.Draw(t, "end"), ParentStart: time.Draw(t, "parent start"),
		Groups: rapid.SampledFrom(testSets).Draw(t, "groups"), UID: rapid.SampledFrom([]uint32{0, 1000, 1001, usage.UnknownUID}).Draw(t, "uid"),
		GID: rapid.Uint32Range(0, 2).Draw(t, "gid"), Exited: rapid.Bool().Draw(t, "exited"), Inferred: rapid.Bool().Draw(t, "inferred"),
		Precision: Precision(rapid.IntRange(0, 3).Draw(t, "precision")),
	}
	r.User = strconv.Itoa(int(r.UID))
	copy(r.Comm[:], rapid.SampledFrom([]string{"", "cc1", "sh", "sixteen bytes !!", "\xff\x01"}).Draw(t, "comm"))
	if r.Exited {
		r.Status = rapid.Uint32().Draw(t, "status")
	}
	r.Measure = drawMeasure(t)
	return r
}

func drawMeasure(t *rapid.T) (m usage.Measure) {
	for f := range m {
		m[f] = rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(0, 1<<20), rapid.Uint64()).Draw(t, usage.Field(f).Info().Name)
	}
	return m
}

// builds returns n rows as a machine that builds software has them: some commands,
// few users and groups, children that end before their parent.
func builds(n int) []Row {
	r := rand.New(rand.NewPCG(1, 2))
	commands := []string{"cc1", "as", "collect2", "ld", "gcc", "sh", "make", "sed", "grep", "cat", "rm", "mkdir", "cp", "expr", "python3", "perl", "git"}
	rows := make([]Row, n)
	now, pid := int64(1_796_000_000_000_000_000), int32(20000)
	parent, parentStart := pid, now
	for i := range rows {
		now += int64(r.ExpFloat64() * 2e6)
		pid++
		if r.IntN(8) == 0 {
			parent, parentStart = pid-int32(r.IntN(30)), now-int64(r.ExpFloat64()*5e8)
		}
		lived := int64(r.ExpFloat64() * 3e7)
		x := &rows[i]
		*x = Row{Seq: uint64(i + 1), PID: pid, PPID: parent, Start: now - lived, End: now, ParentStart: parentStart,
			Groups: testSets[2+min(int(r.ExpFloat64()*1.2), 3)], UID: uint32(1000 + min(int(r.ExpFloat64()), 3)), GID: 1000, Exited: true, Precision: Exact}
		x.User = "user" + strconv.Itoa(int(x.UID))
		copy(x.Comm[:], commands[min(int(r.ExpFloat64()*4), len(commands)-1)])
		if r.IntN(20) == 0 {
			x.Status = 256
		}
		cpu := min(uint64(r.ExpFloat64()*1.5e7), uint64(lived))
		x.Measure = usage.Measure{usage.User: cpu * 7 / 10, usage.System: cpu - cpu*7/10, usage.Elapsed: uint64(lived),
			usage.MinorFaults: uint64(80 + r.ExpFloat64()*400), usage.ReadChars: uint64(r.ExpFloat64() * 60000),
			usage.WriteChars: uint64(r.ExpFloat64()*3000) * uint64(r.IntN(2)), usage.MaxRSS: uint64(900+r.ExpFloat64()*6000) << 10,
			usage.VoluntarySwitches: uint64(r.ExpFloat64() * 3), usage.InvoluntarySwitches: uint64(r.ExpFloat64()),
			usage.CPUDelay: uint64(r.ExpFloat64() * 80000)}
		if r.IntN(10) == 0 {
			x.Measure[usage.WriteBytes] = uint64(r.IntN(100)) << 12
		}
	}
	return rows
}
