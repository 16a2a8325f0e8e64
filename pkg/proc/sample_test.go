// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"elsa/pkg/clock"
)

const ms = time.Millisecond

func TestSetCPU(t *testing.T) {
	for _, tt := range []struct {
		name              string
		before            Sample
		cpu, user, system time.Duration
		want              Sample
	}{
		{"in proportion", Sample{}, 100 * ms, 8 * ms, 24 * ms, Sample{User: 25 * ms, System: 75 * ms, CPU: 100 * ms}},
		{"the tick saw more than was run", Sample{}, 2 * ms, 4 * ms, 4 * ms, Sample{User: 1 * ms, System: 1 * ms, CPU: 2 * ms}},
		{"no tick yet", Sample{}, 3 * ms, 0, 0, Sample{User: 3 * ms, CPU: 3 * ms}},
		{"system alone", Sample{}, 3 * ms, 0, 4 * ms, Sample{System: 3 * ms, CPU: 3 * ms}},
		{"user does not fall", Sample{User: 3 * ms, CPU: 3 * ms}, 5 * ms, 0, 4 * ms, Sample{User: 3 * ms, System: 2 * ms, CPU: 5 * ms}},
		{"system does not fall", Sample{System: 3 * ms, CPU: 3 * ms}, 5 * ms, 4 * ms, 0, Sample{User: 2 * ms, System: 3 * ms, CPU: 5 * ms}},
		{"nothing falls", Sample{User: 3 * ms, System: 1 * ms, CPU: 4 * ms}, 3 * ms, 4 * ms, 4 * ms, Sample{User: 3 * ms, System: 1 * ms, CPU: 4 * ms}},
		{"nonsense", Sample{}, 5 * ms, 4 * ms, -2 * ms, Sample{User: 5 * ms, CPU: 5 * ms}},
		{"250 years", Sample{}, 1 << 62, 1 << 61, 1 << 61, Sample{User: 1 << 61, System: 1 << 61, CPU: 1 << 62}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.before
			got.setCPU(tt.cpu, tt.user, tt.system)
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreUnexported(Sample{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestSetCPULaws feeds samples of a process as the tick would see it: the sum
// is the scheduler's, and neither part ever falls.
func TestSetCPULaws(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		var s Sample
		var cpu, user, system time.Duration
		for range 200 {
			cpu += time.Duration(r.Int64N(int64(9 * ms)))
			user += time.Duration(r.IntN(3)) * 4 * ms
			system += time.Duration(r.IntN(3)) * 4 * ms
			before := s
			s.setCPU(cpu, user, system)
			if s.CPU != cpu || s.User+s.System != cpu || s.User < before.User || s.System < before.System {
				t.Fatalf("seed %d: cpu %v, ticks %v+%v: %+v became %+v", seed, cpu, user, system, before, s)
			}
		}
	}
}

// fakeClocks stands in for the kernel's clocks of the recorded processes.
func fakeClocks(user, both, cpu time.Duration) func(int32, int32) (time.Duration, error) {
	return func(pid, kind int32) (time.Duration, error) {
		return map[int32]time.Duration{clockVirt: user, clockProf: both, clockSched: cpu}[kind], nil
	}
}

func TestSampleRecorded(t *testing.T) {
	sampler := fixture.NewSampler()
	sampler.clock = fakeClocks(590*ms, 1220*ms, 1230*ms)
	cpu := Sample{System: 630 * 1230 * ms / 1220, CPU: 1230 * ms} // the kernel rounds system time down
	cpu.User = cpu.CPU - cpu.System

	for _, tt := range []struct {
		name   string
		pid    int32
		start  clock.Boot
		before Sample
		detail bool
		want   func(*Sample)
	}{
		{"clocks alone", 20019, 1389.46e9, Sample{}, false, func(*Sample) {}},
		{"all there is", 20019, 1389.46e9, Sample{}, true, func(s *Sample) {
			s.MinorFaults, s.MajorFaults = 813, 3
			s.ReadChars, s.WriteChars, s.ReadBytes, s.WriteBytes = 44117, 8, 8421376, 36864
			s.MaxRSS = 8192 << 10
			s.VoluntarySwitches, s.InvoluntarySwitches = 41, 2
			s.Comm = name("a) b (c")
		}},
		{"a start time to the nanosecond", 20019, 1389.46e9 + 9999999, Sample{}, false, func(*Sample) {}},
		{"the leader is gone, its threads are not", 20338, 1390.96e9, Sample{MaxRSS: 5000}, true, func(s *Sample) {
			s.MinorFaults, s.ReadChars, s.MaxRSS, s.VoluntarySwitches = 42, 816, 5000, 1
			s.Comm = name("workload")
		}},
		{"nothing falls", 20338, 1390.96e9, Sample{
			MinorFaults: 43, ReadChars: 817, VoluntarySwitches: 2, MajorFaults: 1, WriteBytes: 9,
		}, true, func(s *Sample) {
			s.MinorFaults, s.ReadChars, s.VoluntarySwitches, s.MajorFaults, s.WriteBytes = 43, 817, 2, 1, 9
			s.Comm = name("workload")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, want := tt.before, cpu
			tt.want(&want)
			if err := sampler.Sample(tt.pid, seen(tt.start), &got, tt.detail); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Sample{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// seen is a start in whole ticks as /proc shows it, any other as BPF knows it.
func seen(at clock.Boot) clock.Start {
	if at%1e7 == 0 {
		return clock.At(at, clock.Tick)
	}
	return clock.At(at, clock.Exact)
}

func TestSampleGone(t *testing.T) {
	before := Sample{CPU: 5 * ms, User: 5 * ms, MinorFaults: 7}
	for _, tt := range []struct {
		name   string
		pid    int32
		start  clock.Boot
		clock  func(int32, int32) (time.Duration, error)
		detail bool
	}{
		{"no such process", 3, 0, fakeClocks(0, 0, 9*ms), true},
		{"another start time", 20019, 1389.45e9, fakeClocks(0, 0, 9*ms), true},
		{"no clock", 20019, 1389.46e9, func(int32, int32) (time.Duration, error) { return 0, unix.EINVAL }, false},
		{"a clock that fell", 20019, 1389.46e9, fakeClocks(0, 0, 4*ms), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sampler := fixture.NewSampler()
			sampler.clock = tt.clock
			got := before
			if err := sampler.Sample(tt.pid, seen(tt.start), &got, tt.detail); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("error %v, want fs.ErrNotExist", err)
			}
			if diff := cmp.Diff(before, got, cmpopts.IgnoreUnexported(Sample{})); diff != "" {
				t.Errorf("the sample changed (-want +got):\n%s", diff)
			}
		})
	}
}
