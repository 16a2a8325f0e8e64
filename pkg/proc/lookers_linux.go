// SPDX-License-Identifier: Apache-2.0

package proc

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// What looks that do not end may take: so many in all, so many at the processes of
// a user who is not root, and so many at those of all such users. Each holds a
// thread of this process. Who owns a process is asked once some are under way.
const (
	maxStuck     = 256
	maxStuckUser = 16
	maxStuckAll  = 192
	freeStuck    = 8
	// maxIdle is how many lookers without work are kept.
	maxIdle = 4
	// recently is how long a user is remembered of whom a process was stuck, and
	// maxRecent how many are.
	recently, maxRecent = 10 * time.Second, 1024
)

// lookers are goroutines that look at processes for others, who do not wait for
// them for ever. Safe for concurrent use.
type lookers struct {
	root FS

	mu     sync.Mutex
	idle   []*looker
	stuck  map[int32]*looker    // those nobody waits for any more, by what they look at
	users  map[uint32]int       // how many of them there are by user
	recent map[uint32]time.Time // when a user's process was stuck last
	ended  []int32              // what those looked at that came back
	signal chan struct{}        // has something when ended has

	late, refused atomic.Uint64
}

// looker is one such goroutine. It has one look at a time.
type looker struct {
	work    chan func(*Sampler)
	done    chan struct{}
	timer   *time.Timer
	sampler *Sampler

	// Under the lock of lookers, once nobody waits for it:
	left bool
	pid  int32
	uid  uint32
}

func newLookers(root FS) *lookers {
	return &lookers{root: root, stuck: map[int32]*looker{}, users: map[uint32]int{}, recent: map[uint32]time.Time{}, signal: make(chan struct{}, 1)}
}

// look has f called in another goroutine. It returns nil once f has returned. It
// returns [ErrBusy] without calling f where a look at the process is under way or
// too many are, and while f goes on when wait is over and at says that it still
// looks at the process it looked at wait ago; from then on f's results are not to
// be used. spent is told how long was waited for nothing.
func (l *lookers) look(pid int32, wait time.Duration, spent func(time.Duration), at *atomic.Int32, f func(*Sampler)) error {
	w, err := l.take(pid)
	if err != nil {
		return err
	}
	w.work <- f
	for {
		seen := pid
		if at != nil {
			seen = at.Load()
		}
		w.timer.Reset(wait)
		select {
		case <-w.done:
			w.timer.Stop()
			l.release(w)
			return nil
		case <-w.timer.C:
		}
		spent(wait)
		if at == nil || at.Load() == seen {
			if l.leave(w, seen) {
				return busy{coming: true}
			}
			l.release(w)
			return nil
		}
	}
}

// take returns a looker that has no work.
func (l *lookers) take(pid int32) (*looker, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stuck[pid] != nil {
		l.late.Add(1)
		return nil, busy{coming: true}
	}
	if len(l.stuck) >= freeStuck && l.full(l.root.owner(pid)) {
		l.refused.Add(1)
		return nil, busy{}
	}
	if n := len(l.idle); n > 0 {
		w := l.idle[n-1]
		l.idle = l.idle[:n-1]
		return w, nil
	}
	w := &looker{work: make(chan func(*Sampler), 1), done: make(chan struct{}, 1), timer: time.NewTimer(time.Hour), sampler: l.root.NewSampler()}
	go l.run(w)
	return w, nil
}

// full reports whether nobody may look at another process of a user.
func (l *lookers) full(uid uint32) bool {
	if uid == 0 {
		return len(l.stuck) >= maxStuck
	}
	return l.users[uid] >= maxStuckUser || len(l.stuck)-l.users[0] >= maxStuckAll
}

// owner is the user of a process: the owner of its directory, which can be asked for
// whatever the process does. It is root if the process is gone.
func (r FS) owner(pid int32) uint32 {
	var st unix.Stat_t
	if unix.Stat(r.path(pid, ""), &st) != nil {
		return 0
	}
	return st.Uid
}

// leave waits no longer for a looker. It returns false if that has just ended.
func (l *lookers) leave(w *looker, pid int32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-w.done:
		return false
	default:
	}
	l.late.Add(1)
	w.left, w.pid, w.uid = true, pid, l.root.owner(pid)
	l.stuck[pid] = w
	l.users[w.uid]++
	if len(l.recent) >= maxRecent {
		clear(l.recent)
	}
	l.recent[w.uid] = time.Now()
	return true
}

// suspect reports whether a process of the same user was stuck a moment ago.
func (l *lookers) suspect(pid int32) bool {
	uid := l.root.owner(pid)
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.recent[uid]
	return ok && time.Since(at) < recently
}

func (l *lookers) release(w *looker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.idle) < maxIdle {
		l.idle = append(l.idle, w)
		return
	}
	close(w.work)
}

// run looks until there is no more to look at, or nobody waited to the end.
func (l *lookers) run(w *looker) {
	for f := range w.work {
		f(w.sampler)
		l.mu.Lock()
		if w.left {
			l.end(w)
			l.mu.Unlock()
			return
		}
		w.done <- struct{}{}
		l.mu.Unlock()
	}
}

// end says that a look came back for which nobody waited.
func (l *lookers) end(w *looker) {
	delete(l.stuck, w.pid)
	if l.users[w.uid]--; l.users[w.uid] == 0 {
		delete(l.users, w.uid)
	}
	if !slices.Contains(l.ended, w.pid) {
		l.ended = append(l.ended, w.pid)
	}
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// isStuck reports whether a look at a process is under way that nobody waits for.
func (l *lookers) isStuck(pid int32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stuck[pid] != nil
}

// many reports whether it matters who owns a process.
func (l *lookers) many() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.stuck) >= freeStuck
}

// patience is how long one goroutine waits for looks that do not end: so long for
// one, while it has waited for less than a share of the time.
type patience struct {
	each, burst time.Duration
	share       float64

	mu   sync.Mutex
	left time.Duration
	asOf time.Time
}

// now is how long may be waited now.
func (p *patience) now() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := time.Now()
	if p.asOf.IsZero() {
		p.left = p.burst
	} else {
		p.left = min(p.burst, p.left+time.Duration(p.share*float64(at.Sub(p.asOf))))
	}
	p.asOf = at
	return max(0, min(p.each, p.left))
}

func (p *patience) spend(d time.Duration) {
	p.mu.Lock()
	p.left -= d
	p.mu.Unlock()
}
