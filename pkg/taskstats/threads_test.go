// SPDX-License-Identifier: Apache-2.0

package taskstats

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/acct"
)

// ended is the end of a thread that used one millisecond.
func ended(tid, tgid int32) *threadExit {
	x := &threadExit{
		version: 16, tid: tid, tgid: tgid, processElapsed: 10 * time.Second,
		rec: acct.Record{
			Source: acct.Taskstats, PID: tgid, Comm: comm("thread"), Begin: 1_700_000_000, Elapsed: 10 * time.Second,
			User: time.Millisecond, CPU: time.Millisecond, Runtime: time.Millisecond, MaxRSS: uint64(tid),
		},
	}
	if tid == tgid {
		x.rec.Comm = comm("leader")
	}
	return x
}

func (x *threadExit) last() *threadExit              { x.rec.Flags |= acct.FlagGroup; return x }
func (x *threadExit) exit(code uint32) *threadExit   { x.rec.ExitCode = code; return x }
func (x *threadExit) born(seconds int64) *threadExit { x.rec.Begin += seconds; return x }

func TestThreadJoin(t *testing.T) {
	type record struct {
		PID     int32
		Whole   bool
		CPU     time.Duration
		Exit    uint32
		Comm    string
		MaxRSS  uint64
		Elapsed time.Duration
	}
	const ms, life = time.Millisecond, 10 * time.Second
	for _, tt := range []struct {
		name string
		ends []*threadExit // nil: messages were lost
		want []record
		open int
	}{
		{"a process without threads", []*threadExit{
			ended(10, 10).exit(0x700).last(),
		}, []record{{10, true, ms, 0x700, "leader", 10, life}}, 0},
		{"leader last", []*threadExit{
			ended(12, 10).exit(0x100), ended(11, 10), ended(10, 10).exit(0x700).last(),
		}, []record{{10, true, 3 * ms, 0x700, "leader", 12, life}}, 0},
		{"leader first, each by itself", []*threadExit{
			ended(10, 10).exit(0x700), ended(12, 10), ended(11, 10).last(),
		}, []record{{10, true, 3 * ms, 0x700, "leader", 12, life}}, 0},
		{"leader first, the others killed", []*threadExit{
			ended(10, 10), ended(12, 10).exit(9), ended(11, 10).exit(9).last(),
		}, []record{{10, true, 3 * ms, 9, "leader", 12, life}}, 0},
		{"exec from a thread", []*threadExit{
			ended(12, 10).exit(9), ended(10, 10).exit(9), ended(10, 10).exit(0x200).last(),
		}, []record{{10, true, 3 * ms, 0x200, "leader", 12, life}}, 0},
		{"processes interleaved", []*threadExit{
			ended(11, 10), ended(21, 20), ended(30, 30).last(), ended(20, 20).last(), ended(10, 10).last(),
		}, []record{
			{30, true, ms, 0, "leader", 30, life},
			{20, true, 2 * ms, 0, "leader", 21, life},
			{10, true, 2 * ms, 0, "leader", 11, life},
		}, 0},
		{"a thread behind the last one", []*threadExit{
			ended(11, 10), ended(12, 10).last(), ended(10, 10), ended(20, 20).last(), ended(10, 10).born(60).last(),
		}, []record{
			{10, true, 2 * ms, 0, "thread", 12, life},
			{10, false, ms, 0, "leader", 10, 0},
			{20, true, ms, 0, "leader", 20, life},
			{10, true, ms, 0, "leader", 10, life},
		}, 0},
		{"a process goes on", []*threadExit{ended(11, 10)}, nil, 1},
		{"the clock is set while it lives", []*threadExit{
			ended(11, 10), ended(10, 10).born(3600).last(),
		}, []record{{10, true, 2 * ms, 0, "leader", 11, life}}, 0},
		{"loss elsewhere", []*threadExit{
			ended(11, 10), nil, ended(10, 10).born(1).last(),
		}, []record{{10, true, 2 * ms, 0, "leader", 11, life}}, 0},
		{"its end lost and its number another's", []*threadExit{
			ended(11, 10), nil, ended(10, 10).born(60).last(),
		}, []record{
			{10, false, ms, 0, "thread", 11, 0},
			{10, true, ms, 0, "leader", 10, life},
		}, 0},
		{"the other has threads too", []*threadExit{
			ended(11, 10), nil, ended(12, 10).born(60), ended(10, 10).born(60).last(),
		}, []record{
			{10, false, ms, 0, "thread", 11, 0},
			{10, true, 2 * ms, 0, "leader", 12, life},
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := newThreadJoin()
			var out []acct.Record
			for _, x := range tt.ends {
				if x == nil {
					j.lost()
					continue
				}
				out = j.add(out, x)
			}
			var got []record
			for _, r := range out {
				if !r.Whole {
					r.Elapsed = 0 // that of one thread
				}
				got = append(got, record{r.PID, r.Whole, r.CPU, r.ExitCode, r.Command(), r.MaxRSS, r.Elapsed})
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			if len(j.open) != tt.open {
				t.Errorf("%d processes open, want %d", len(j.open), tt.open)
			}
		})
	}
}

// The kernel cuts both now and the life time to seconds; the accounting file
// has the difference as of the process's end, and so must we.
func TestThreadJoinBegin(t *testing.T) {
	x := ended(11, 10).last()
	x.rec.Begin, x.rec.Elapsed = 1000, 1200*time.Millisecond // ended at 1001.something
	x.processElapsed = 2900 * time.Millisecond
	got := newThreadJoin().add(nil, x)
	if got[0].Begin != 999 {
		t.Errorf("the process began at %d, want 999: 1001 less 2", got[0].Begin)
	}
}

// Processes that ended unseen must not pile up, and what they used is given.
func TestThreadJoinBounded(t *testing.T) {
	j := newThreadJoin()
	j.limit = 1000
	n := 3 * j.limit
	var out []acct.Record
	for i := range n {
		if i == j.limit {
			j.lost()
		}
		out = j.add(out, ended(int32(2*i+1), int32(2*i)))
	}
	if len(j.open) > j.limit {
		t.Errorf("%d processes open, limit %d", len(j.open), j.limit)
	}
	for _, r := range out {
		if r.Whole {
			t.Fatalf("not a whole process: %+v", r)
		}
	}
	if len(out)+len(j.open) != n {
		t.Errorf("%d given and %d open of %d", len(out), len(j.open), n)
	}
}

// Whatever the order in which threads of many processes end: each process is
// delivered once, at its last thread, with the sum.
func TestModelThreadJoin(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		want := map[int32]time.Duration{}
		var pending [][]*threadExit
		for p := range int32(1 + rng.IntN(20)) {
			tgid := 100 * (p + 1)
			var threads []*threadExit
			for i := range int32(1 + rng.IntN(5)) {
				x := ended(tgid+i, tgid)
				x.rec.CPU = time.Duration(rng.IntN(1e9))
				want[tgid] += x.rec.CPU
				threads = append(threads, x)
			}
			rng.Shuffle(len(threads), func(i, k int) { threads[i], threads[k] = threads[k], threads[i] })
			threads[len(threads)-1].last()
			pending = append(pending, threads)
		}
		j := newThreadJoin()
		got := map[int32]time.Duration{}
		for len(pending) > 0 {
			i := rng.IntN(len(pending))
			last := len(pending[i]) == 1
			out := j.add(nil, pending[i][0])
			if last != (len(out) == 1) {
				t.Fatalf("seed %d: %d records; last thread: %v", seed, len(out), last)
			}
			if last {
				got[out[0].PID] += out[0].CPU
				pending = append(pending[:i], pending[i+1:]...)
			} else {
				pending[i] = pending[i][1:]
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: CPU by process (-want +got):\n%s", seed, diff)
		}
		if len(j.open) != 0 {
			t.Fatalf("seed %d: %d processes open", seed, len(j.open))
		}
	}
}
