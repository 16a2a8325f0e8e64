// SPDX-License-Identifier: Apache-2.0

package taskrelease

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
	"elsa/pkg/acct"
	"elsa/pkg/stream"
	"elsa/pkg/tracepoint"
)

// roles are what spawned copies of the test binary can be asked to do, besides
// kerneltest's own.
var roles = map[string]kerneltest.Role{
	// spawnwrite is write in a child, which it waits for.
	"spawnwrite": func(args []string) int {
		if kerneltest.Command("write", args...).Run() != nil {
			return 1
		}
		return 0
	},
}

func TestMain(m *testing.M) { kerneltest.Main(m, roles) }

func need(t *testing.T) {
	t.Helper()
	kerneltest.Need(t, kerneltest.Root, kerneltest.BTF, kerneltest.BPF)
}

// dial opens a source whose ring holds so many bytes.
func dial(ringBytes int) (*tracepoint.Source, *release, error) {
	d := NewDecoder()
	lane := tracepoint.NewLane(d, stream.Cursor{})
	s, err := tracepoint.Open(context.Background(), tracepoint.Config{RingBytes: ringBytes}, lane)
	return s, &release{lane, d}, err
}

// release is the stream of records and what makes them.
type release struct {
	*tracepoint.Lane[acct.Record]
	*Decoder
}

// run collects what a running source delivers.
type run struct {
	*release
	t       *testing.T
	mu      sync.Mutex
	changed chan struct{} // closed at the next batch
	records map[int32][]acct.Record
	total   int
	barrier uint64
}

func start(t *testing.T) *run {
	t.Helper()
	need(t)
	_, s, err := dial(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Missing()) > 0 {
		t.Logf("this kernel has no %v", s.Missing())
	}
	e := &run{release: s, t: t, changed: make(chan struct{}), records: make(map[int32][]acct.Record)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		for b := range s.Batches() {
			e.mu.Lock()
			for _, r := range b.Items {
				e.records[r.PID] = append(e.records[r.PID], r)
			}
			e.total += len(b.Items)
			e.barrier = max(e.barrier, b.Barrier)
			if b.Rejected != 0 {
				t.Errorf("%d samples rejected", b.Rejected)
			}
			s.Release(b)
			close(e.changed)
			e.changed = make(chan struct{})
			e.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		<-collected
	})
	return e
}

// await waits until ok returns true, which is called with e locked.
func (e *run) await(limit time.Duration, ok func() bool) bool {
	deadline := time.After(limit)
	for {
		e.mu.Lock()
		yes, changed := ok(), e.changed
		e.mu.Unlock()
		if yes {
			return true
		}
		select {
		case <-changed:
		case <-deadline:
			return false
		}
	}
}

// life is a process that the test made, and when it began, at the earliest and
// at the latest: its number may be another's before and after.
type life struct {
	pid      int
	from, to int64 // CLOCK_BOOTTIME
}

func boottime(t *testing.T) int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano()
}

func forked(t *testing.T) life {
	t.Helper()
	from := boottime(t)
	pid, err := kerneltest.Fork()
	if err != nil {
		t.Fatal(err)
	}
	return life{pid, from, boottime(t)}
}

// spawned starts a role and does not wait for its end.
func spawned(t *testing.T, role string, args ...string) (*kerneltest.Child, life) {
	t.Helper()
	from := boottime(t)
	c := kerneltest.Spawn(t, role, args...)
	return c, life{c.PID, from, boottime(t)}
}

// of returns the records of l. It is called with e locked.
func (e *run) of(l life) (found []acct.Record) {
	for _, r := range e.records[int32(l.pid)] {
		if r.Start >= l.from && r.Start <= l.to {
			found = append(found, r)
		}
	}
	return found
}

func (e *run) has(l life) func() bool {
	return func() bool { return len(e.of(l)) > 0 }
}

// record returns the record of a process that end makes, and ends. It tries
// more than one: there are guest kernels that run no program on top of process
// 1, and what is freed in such a moment is left out.
func (e *run) record(end func() life) (acct.Record, bool) {
	e.t.Helper()
	for range 4 {
		l := end()
		if !e.await(4*time.Second, e.has(l)) {
			e.t.Logf("no record of process %d, trying another", l.pid)
			continue
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		found := e.of(l)
		if len(found) != 1 {
			e.t.Errorf("%d records of process %d", len(found), l.pid)
		}
		return found[0], true
	}
	e.t.Error("no record of any of four processes")
	return acct.Record{}, false
}

// fence returns when a process that ends now has been freed and delivered.
func (e *run) fence() {
	e.t.Helper()
	e.record(func() life { return forked(e.t) })
}

func TestKernelExact(t *testing.T) {
	e := start(t)
	const ms = time.Millisecond
	for _, tt := range []struct {
		name  string
		role  string
		args  []string
		want  acct.Record
		least time.Duration // of CPU
	}{
		{"exit 7", "exit", []string{"7"}, acct.Record{ExitCode: 0x700}, 0},
		{"SIGKILL", "wait", nil, acct.Record{ExitCode: 9}, 0},
		{"setuid", "nobody", nil, acct.Record{UID: 65534, GID: 65533}, 0},
		{"burn 100ms", "burn", []string{"100ms"}, acct.Record{}, 100 * ms},
		{"4 threads of 30ms, exit 4", "threads", []string{"4", "30ms", "4"}, acct.Record{ExitCode: 0x400}, 120 * ms},
		{"the same, leader first", "leaderfirst", []string{"4", "30ms", "4"}, acct.Record{ExitCode: 0x400}, 120 * ms},
		{"exec from a thread", "execthread", nil, acct.Record{}, 0},
		{"write 1048576", "write", []string{"1048576", filepath.Join(t.TempDir(), "file")},
			acct.Record{WriteChars: 1 << 20}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e.t = t
			var usage *syscall.Rusage
			r, ok := e.record(func() life {
				c, l := spawned(t, tt.role, tt.args...)
				if tt.role == "wait" {
					unix.Kill(c.PID, unix.SIGKILL)
				}
				usage = c.Wait().SysUsage().(*syscall.Rusage)
				return l
			})
			if !ok {
				return
			}
			if r.Source != acct.Exact || !r.Whole {
				t.Errorf("source %v, whole %v", r.Source, r.Whole)
			}
			if r.ExitCode != tt.want.ExitCode || r.UID != tt.want.UID || r.GID != tt.want.GID {
				t.Errorf("exit %#x, uid %d, gid %d; want %#x, %d, %d", r.ExitCode, r.UID, r.GID, tt.want.ExitCode, tt.want.UID, tt.want.GID)
			}
			// wait4 has it in microseconds, twice cut, and without the last
			// moments of threads.
			waited := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
			if r.CPU < tt.least || r.CPU < waited || r.CPU > waited+50*ms {
				t.Errorf("used %v, want at least %v and the %v of wait4, and little more", r.CPU, tt.least, waited)
			}
			if r.User+r.System != r.CPU || r.User < 0 || r.System < 0 {
				t.Errorf("user %v and system %v are not %v", r.User, r.System, r.CPU)
			}
			if r.WriteChars < tt.want.WriteChars || r.WriteChars > tt.want.WriteChars+4096 {
				t.Errorf("wrote %d characters, want %d", r.WriteChars, tt.want.WriteChars)
			}
			if in, out := int64(r.ReadBytes>>9)-usage.Inblock, int64(r.WriteBytes>>9)-usage.Oublock; in < 0 || in > 64 || out < 0 || out > 64 {
				t.Errorf("read %d and wrote %d blocks; wait4 says %d and %d", r.ReadBytes>>9, r.WriteBytes>>9, usage.Inblock, usage.Oublock)
			}
			if int64(r.MinorFaults) != usage.Minflt || int64(r.MajorFaults) != usage.Majflt || r.MaxRSS != uint64(usage.Maxrss)<<10 {
				t.Errorf("faults %d and %d, peak %d; wait4 says %d, %d and %d", r.MinorFaults, r.MajorFaults, r.MaxRSS,
					usage.Minflt, usage.Majflt, usage.Maxrss<<10)
			}
			// The leader's last switch is not in it.
			if d := usage.Nvcsw - int64(r.VoluntarySwitches); d < 0 || d > 1 || int64(r.InvoluntarySwitches) > usage.Nivcsw+1 {
				t.Errorf("switches %d and %d; wait4 says %d and %d", r.VoluntarySwitches, r.InvoluntarySwitches, usage.Nvcsw, usage.Nivcsw)
			}
		})
	}
}

// What a process read and wrote is its own, not that of children it waited
// for, which the kernel adds to signal_struct.
func TestKernelExactOwnIO(t *testing.T) {
	e := start(t)
	file := filepath.Join(t.TempDir(), "file")
	r, ok := e.record(func() life {
		c, l := spawned(t, "spawnwrite", "1048576", file)
		c.Wait()
		return l
	})
	if ok && r.WriteChars >= 1<<20 {
		t.Errorf("charged %d characters that its child wrote", r.WriteChars)
	}
}

// A zombie is not final: its record comes when it is reaped.
func TestKernelExactZombie(t *testing.T) {
	e := start(t)
	e.record(func() life {
		c, l := spawned(t, "exit", "0")
		for unix.Waitid(unix.P_PID, c.PID, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
		e.fence()
		if e.await(0, e.has(l)) {
			t.Errorf("a record of %d, which nobody has waited for", l.pid)
		}
		c.Wait()
		return l
	})
}

// Of processes that live for no time at all each is delivered once.
func TestKernelExactStorm(t *testing.T) {
	e := start(t)
	const storm = 500
	var lives []life
	for range storm {
		lives = append(lives, forked(t))
	}
	found := func() (n int) {
		for _, l := range lives {
			if len(e.of(l)) > 0 {
				n++
			}
		}
		return n
	}
	// Not quite all need come: see record.
	if !e.await(10*time.Second, func() bool { return found() >= storm*98/100 }) {
		e.mu.Lock()
		t.Errorf("%d of %d delivered", found(), storm)
		e.mu.Unlock()
	}
	e.fence()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range lives {
		records := e.of(l)
		if len(records) > 1 {
			t.Errorf("process %d delivered %d times", l.pid, len(records))
		}
		for _, r := range records {
			if r.CPU <= 0 || r.CPU > time.Second || r.Flags&acct.FlagFork == 0 {
				t.Errorf("process %d: %+v", l.pid, r)
			}
		}
	}
}

// Reading allocates nothing per record.
func TestKernelExactAllocates(t *testing.T) {
	need(t)
	_, s, err := dial(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	read := func(n int) {
		for range n {
			if _, err := kerneltest.Fork(); err != nil {
				t.Fatal(err)
			}
		}
		deadline := time.After(20 * time.Second)
		for n -= n / 50; n > 0; { // not quite all need come: see record
			select {
			case b := <-s.Batches():
				n -= len(b.Items)
				s.Release(b)
			case <-deadline:
				t.Fatalf("%d records did not come", n)
			}
		}
	}
	read(200) // it has its memory now
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const records = 500
	read(records)
	runtime.ReadMemStats(&after)
	if n := after.Mallocs - before.Mallocs; n > records/4 {
		t.Errorf("%d allocations for %d records", n, records)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// With room for a handful of samples every one is either delivered or counted.
func TestKernelExactLoss(t *testing.T) {
	need(t)
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		t.Fatal(err)
	}
	defer stats.Close()
	source, s, err := dial(1)
	if err != nil {
		t.Fatal(err)
	}
	runs := func() uint64 {
		st, err := source.Programs()[0].Stats()
		if err != nil {
			t.Fatal(err)
		}
		return st.RunCount
	}
	const storm = 200
	for range storm {
		if _, err := kerneltest.Fork(); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(5 * time.Second); runs() < storm*98/100 && time.Now().Before(end); {
		if _, err := kerneltest.Fork(); err != nil { // time passes, RCU gets on
			t.Fatal(err)
		}
	}
	least := runs()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	s.Mark(1)
	go func() { done <- s.Run(ctx) }()
	items, lost, rejected, at := uint64(0), uint64(0), uint64(0), stream.Cursor{}
	for b := range s.Batches() {
		items += uint64(len(b.Items))
		lost += b.Lost
		rejected += b.Rejected
		at = b.At
		if b.Barrier == 1 {
			cancel()
		}
		s.Release(b)
	}
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if at.Lost != lost || at.Processes > lost || at.Processes < lost*9/10 {
		t.Errorf("%d lost in all, of them %d processes; in batches %d", at.Lost, at.Processes, lost)
	}
	if each := at.CPU / time.Duration(max(at.Processes, 1)); each < 10*time.Microsecond || each > 100*time.Millisecond {
		t.Errorf("%d processes are lost that ran for %v, %v each", at.Processes, at.CPU, each)
	}
	// What was delivered is at most a page of samples, and those of threads of
	// other programs are no items.
	threads := uint64(os.Getpagesize() / 80)
	if items == 0 || lost < storm/2 || rejected != 0 || items+lost+threads < least*98/100 {
		t.Errorf("the program ran %d times: %d delivered, %d lost, %d rejected", least, items, lost, rejected)
	}
}

// A barrier comes also when nothing ends.
func TestKernelExactBarrier(t *testing.T) {
	e := start(t)
	for n := uint64(1); n < 20; n++ {
		e.Mark(n)
		if !e.await(5*time.Second, func() bool { return e.barrier == n }) {
			t.Fatalf("no barrier %d", n)
		}
	}
}

// After Close the kernel has nothing of ours.
func TestKernelExactClose(t *testing.T) {
	need(t)
	s, lane, err := dial(1 << 16)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Programs()[0].Info()
	if err != nil {
		t.Fatal(err)
	}
	id, ok := info.ID()
	if !ok {
		t.Fatal("the program has no id")
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	lane.Mark(1) // must do nothing, not write to a descriptor that is another's
	for end := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		p, err := ebpf.NewProgramFromID(id)
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if err == nil {
			p.Close()
		}
		if time.Now().After(end) {
			t.Fatalf("program %d is still there: %v", id, err)
		}
	}
	runtime.KeepAlive(s) // or the collector might have closed it
}

// Fields that a kernel lacks read as zero, but for those without which there
// is no figure.
func TestKernelExactMissingFields(t *testing.T) {
	need(t)
	saved := leaderFields
	t.Cleanup(func() { leaderFields = saved })
	rename := func(path string) {
		leaderFields = append([]sampleField(nil), saved...)
		for i := range leaderFields {
			if leaderFields[i].path == path {
				leaderFields[i].path = "no_such_member"
			}
		}
	}
	rename("maxrss")
	e := start(t)
	if got := e.Missing(); len(got) != 1 || got[0] != "no_such_member" {
		t.Errorf("missing %v", got)
	}
	r, ok := e.record(func() life {
		c, l := spawned(t, "exit", "7")
		c.Wait()
		return l
	})
	if ok && (r.MaxRSS != 0 || r.ExitCode != 0x700 || r.CPU == 0) {
		t.Errorf("without the field: %+v", r)
	}

	rename("sum_sched_runtime")
	s, _, err := dial(1 << 16)
	if err == nil {
		s.Close()
		t.Fatal("went on without the runtime")
	}
	if !strings.Contains(err.Error(), "no_such_member") {
		t.Errorf("error %q does not name the member", err)
	}
}
