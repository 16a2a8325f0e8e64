// SPDX-License-Identifier: Apache-2.0

package taskrelease

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/pkg/acct"
)

// sample is what the BPF program would write, its fields set by hand.
type sample []byte

func newSample(size int, key uint64, tgid, tasks uint32, runtime uint64) sample {
	s := make(sample, size)
	return s.u64(sampleKey, key).u32(sampleTGID, tgid).u32(sampleTasks, tasks).u64(sampleRuntime, runtime)
}

func (s sample) u32(at int, v uint32) sample { binary.NativeEndian.PutUint32(s[at:], v); return s }
func (s sample) u64(at int, v uint64) sample { binary.NativeEndian.PutUint64(s[at:], v); return s }

func comm(s string) (c [16]byte) {
	copy(c[:], s)
	return c
}

func TestExactRecord(t *testing.T) {
	s := newSample(leaderSample, 0xffff888101000000, 4711, 1, 10_000_000).
		u64(sampleRchar, 1).u64(sampleWchar, 2).u64(sampleDelay, 3).
		u64(sampleReadBytes, 4096).u64(sampleWriteBytes, 8192).
		u64(sampleFolded, 9_000_000).u64(sampleUtime, 4_000_000).u64(sampleStime, 12_000_000).
		u64(sampleStart, 123_456_789_012).
		u64(sampleMinFlt, 5).u64(sampleMajFlt, 6).u64(sampleNvcsw, 7).u64(sampleNivcsw, 8).
		u64(sampleMaxRSS, 3).
		u32(sampleExit, 0x300).u32(sampleAcctFlag, acct.FlagFork|acct.FlagSU).u32(sampleUID, 1000).u32(sampleGID, 100)
	copy(s[sampleComm:], "fifteen letters")
	want := acct.Record{
		Source: acct.Exact, Whole: true, Flags: acct.FlagFork | acct.FlagSU, PID: 4711, UID: 1000, GID: 100,
		ExitCode: 0x300, Comm: comm("fifteen letters"), Start: 123_456_789_012,
		User: 2500 * time.Microsecond, System: 7500 * time.Microsecond, CPU: 10 * time.Millisecond,
		MinorFaults: 5, MajorFaults: 6, ReadBytes: 4096, WriteBytes: 8192, ReadChars: 1, WriteChars: 2,
		CPUDelay: 3, MaxRSS: 3 * 16384, VoluntarySwitches: 7, InvoluntarySwitches: 8,
	}
	got, ok := newSampleJoin(16384, time.Second).add(nil, s, 0, 0)
	if diff := cmp.Diff([]acct.Record{want}, got); !ok || diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}

	// Killed as a whole: the leader's own code does not count.
	s.u32(sampleSigFlags, 0x4).u32(sampleGroupExit, 9)
	got, _ = newSampleJoin(16384, time.Second).add(nil, s, 0, 0)
	if got[0].ExitCode != 9 {
		t.Errorf("exit code %#x after a group exit, want 0x9", got[0].ExitCode)
	}
}

func TestExactJoin(t *testing.T) {
	const ms = 1e6
	thread := func(key uint64, tgid uint32, runtime uint64) sample {
		return newSample(threadSample, key, tgid, 2, runtime).u64(sampleWchar, 1)
	}
	leader := func(key uint64, tgid, tasks uint32, runtime, folded uint64) sample {
		return newSample(leaderSample, key, tgid, tasks, runtime).u64(sampleFolded, folded).u64(sampleWchar, 1)
	}
	type death struct {
		pid   int32
		cpu   time.Duration
		chars uint64
	}
	type step struct {
		at   int64 // with no sample: a look for what is overdue
		add  sample
		want []death
	}
	for _, tt := range []struct {
		name       string
		steps      []step
		incomplete uint64
	}{
		{"a process without threads", []step{
			{0, leader(1, 10, 1, 5*ms, 4*ms), []death{{10, 5 * ms, 1}}},
		}, 0},
		{"threads first", []step{
			{0, thread(1, 10, 2*ms), nil},
			{0, thread(1, 10, 3*ms), nil},
			{0, leader(1, 10, 1, 5*ms, 7*ms), []death{{10, 10 * ms, 3}}},
		}, 0},
		{"a thread after the leader", []step{
			{0, thread(1, 10, 2*ms), nil},
			{0, leader(1, 10, 2, 5*ms, 7*ms), nil},
			{9, nil, nil},
			{9, thread(1, 10, 3*ms), []death{{10, 10 * ms, 3}}},
		}, 0},
		{"two processes interleaved", []step{
			{0, leader(1, 10, 2, 5*ms, 0), nil},
			{0, leader(2, 20, 2, 6*ms, 0), nil},
			{0, thread(2, 20, 1*ms), []death{{20, 7 * ms, 2}}},
			{0, thread(1, 10, 1*ms), []death{{10, 6 * ms, 2}}},
		}, 0},
		{"a lost thread is charged what was folded", []step{
			{5, leader(1, 10, 2, 5*ms, 7*ms), nil},
			{14, nil, nil},
			{15, nil, []death{{10, 7 * ms, 1}}},
		}, 1},
		{"its address used again ends the wait", []step{
			{0, leader(1, 10, 2, 5*ms, 7*ms), nil},
			{0, leader(1, 11, 1, 1*ms, 1*ms), []death{{10, 7 * ms, 1}, {11, 1 * ms, 1}}},
		}, 1},
		{"threads of a leader that was lost are not the next one's", []step{
			{0, thread(1, 10, 2*ms), nil},
			{0, leader(1, 11, 1, 1*ms, 1*ms), []death{{11, 1 * ms, 1}}},
			{0, thread(1, 12, 2*ms), nil},
			{0, thread(1, 13, 3*ms), nil},
			{0, leader(1, 13, 1, 1*ms, 1*ms), []death{{13, 4 * ms, 2}}},
		}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j := newSampleJoin(4096, 10)
			for i, s := range tt.steps {
				var out []acct.Record
				if s.add == nil {
					out = j.expire(nil, s.at)
				} else {
					out, _ = j.add(nil, s.add, 0, s.at)
				}
				var got []death
				for _, r := range out {
					got = append(got, death{r.PID, r.CPU, r.WriteChars})
				}
				if diff := cmp.Diff(s.want, got, cmp.AllowUnexported(death{})); diff != "" {
					t.Errorf("step %d (-want +got):\n%s", i, diff)
				}
			}
			if j.incomplete != tt.incomplete {
				t.Errorf("%d incomplete, want %d", j.incomplete, tt.incomplete)
			}
		})
	}
}

// Threads of processes whose leaders never come must not pile up.
func TestExactJoinBounded(t *testing.T) {
	j := newSampleJoin(4096, time.Second)
	for key := range uint64(5 * j.limit) {
		j.add(nil, newSample(threadSample, key, uint32(key), 2, 1), 0, 0)
	}
	if n := len(j.threads) + len(j.old); n > 2*j.limit {
		t.Errorf("%d sums kept, limit is twice %d", n, j.limit)
	}
	if kept := uint64(len(j.threads) + len(j.old)); j.incomplete+kept != uint64(5*j.limit) {
		t.Errorf("%d forgotten and %d kept of %d", j.incomplete, kept, 5*j.limit)
	}
}

// Whatever the order in which the samples of processes come: each process is
// delivered once, with the sum of its tasks.
func TestModelExactJoin(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		want := map[int32]time.Duration{}
		var pending [][]sample // of one process, in the order of release: leader last
		for p := range uint32(1 + rng.IntN(20)) {
			var tasks []sample
			var sum uint64
			for range rng.IntN(5) {
				run := rng.Uint64N(1e9)
				sum += run
				tasks = append(tasks, newSample(threadSample, uint64(p), p, 0, run))
			}
			run := rng.Uint64N(1e9)
			tasks = append(tasks, newSample(leaderSample, uint64(p), p, 0, run).u64(sampleFolded, sum))
			rng.Shuffle(len(tasks), func(i, k int) { tasks[i], tasks[k] = tasks[k], tasks[i] })
			// signal->sigcnt as of the leader's sample: itself, what is not
			// freed yet, and at times one that is being freed.
			for i, s := range tasks {
				if len(s) == leaderSample {
					s.u32(sampleTasks, uint32(len(tasks)-i))
				}
			}
			want[int32(p)] = time.Duration(sum + run)
			pending = append(pending, tasks)
		}
		j := newSampleJoin(4096, time.Second)
		var out []acct.Record
		for len(pending) > 0 {
			i := rng.IntN(len(pending))
			out, _ = j.add(out, pending[i][0], 0, 0)
			if pending[i] = pending[i][1:]; len(pending[i]) == 0 {
				pending = append(pending[:i], pending[i+1:]...)
			}
		}
		got := map[int32]time.Duration{}
		for _, r := range out {
			if _, twice := got[r.PID]; twice {
				t.Fatalf("seed %d: process %d delivered twice", seed, r.PID)
			}
			got[r.PID] = r.CPU
			if r.User+r.System != r.CPU {
				t.Fatalf("seed %d: user %v + system %v is not %v", seed, r.User, r.System, r.CPU)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: CPU by process (-want +got):\n%s", seed, diff)
		}
		if n := len(j.held) + len(j.threads) + len(j.old); n != 0 || j.incomplete != 0 {
			t.Fatalf("seed %d: %d left over, %d incomplete", seed, n, j.incomplete)
		}
	}
}

func FuzzExactJoin(f *testing.F) {
	f.Add([]byte{0, 1, 2})
	f.Add(bytes.Repeat([]byte{1, 0xff, 0}, 500))
	f.Fuzz(func(t *testing.T, data []byte) {
		// The bytes are a list of samples with few keys, so that they meet.
		j := newSampleJoin(4096, 10)
		j.limit = 4
		leaders, delivered := 0, 0
		for now := int64(0); len(data) > 3; now++ {
			size := threadSample
			if data[0]&1 != 0 {
				size = leaderSample
				leaders++
			}
			s := newSample(size, uint64(data[1]%8), uint32(data[1]/8%2), uint32(data[2]%4), uint64(data[3]))
			data = data[3:]
			out, ok := j.add(nil, s, 0, now)
			if !ok {
				t.Fatal("a sample was rejected")
			}
			delivered += len(j.expire(out, now))
			if len(j.threads) > j.limit {
				t.Fatalf("%d sums, limit %d", len(j.threads), j.limit)
			}
		}
		delivered += len(j.expire(nil, 1<<62))
		if delivered != leaders || len(j.held) != 0 {
			t.Fatalf("%d processes, %d records, %d held", leaders, delivered, len(j.held))
		}
		if _, ok := j.add(nil, data, 0, 0); ok {
			t.Fatalf("took %d bytes for a sample", len(data))
		}
	})
}

func BenchmarkExactJoin(b *testing.B) {
	j := newSampleJoin(4096, time.Second)
	s := newSample(leaderSample, 1, 1, 1, 1)
	out := make([]acct.Record, 0, 1)
	b.ReportAllocs()
	for b.Loop() {
		out, _ = j.add(out[:0], s, 0, 0)
	}
}
