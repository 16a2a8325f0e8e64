// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"elsa/internal/store"
	"elsa/pkg/acct"
	"elsa/pkg/cnfork"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/taskrelease"
	"elsa/pkg/taskstats"
	"elsa/pkg/usage"
)

// Over a planned restart the sources wait in systemd's store of descriptors, so
// that nothing is missed: the kernel queues events and records in them. What a
// start needs beside them is committed at the stop, and they are stored only
// after that. They are taken out of the store at the start: a crash finds none.

// What the descriptors are called in the store.
const (
	nameEvents    = "elsa-events"
	nameTaskstats = "elsa-taskstats"
	nameRing      = "elsa-exact-ring"
	nameDrops     = "elsa-exact-drops"
	nameProgram   = "elsa-exact-program"
	nameLink      = "elsa-exact-link"
)

// storeOffered reports whether the manager keeps descriptors for us (systemd
// 254 and FileDescriptorStoreMax= in the unit).
func storeOffered() bool {
	n, err := strconv.Atoi(os.Getenv("FDSTORE"))
	return err == nil && n > 0 && os.Getenv("NOTIFY_SOCKET") != ""
}

// tellManager sends a message of sd_notify(3) with descriptors, which
// go-systemd does not.
func tellManager(text string, fds ...int) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	return unix.Sendmsg(fd, []byte(text), rights, &unix.SockaddrUnix{Name: os.Getenv("NOTIFY_SOCKET")}, 0)
}

// storeDescriptor gives the manager a descriptor. Without FDPOLL=0 it would drop
// a socket when the buffer overruns.
func storeDescriptor(name string, fd int) error {
	return tellManager("FDSTORE=1\nFDPOLL=0\nFDNAME="+name, fd)
}

// kept is what the manager kept.
type kept struct {
	meta *store.Meta
	fits bool // it goes with the database
	fds  map[string]int
	log  *slog.Logger
}

// takeStored returns what the manager kept, and takes it out of the store.
func takeStored(meta *store.Meta, log *slog.Logger) *kept {
	k := &kept{meta: meta, fds: map[string]int{}, log: log}
	boot, err := proc.Default.BootID()
	k.fits = err == nil && meta.CleanStop && meta.BootID == boot
	for _, f := range activation.Files(true) {
		_, twice := k.fds[f.Name()]
		if slices.Contains([]string{nameEvents, nameTaskstats, nameRing, nameDrops, nameProgram, nameLink}, f.Name()) && !twice {
			// A descriptor of its own: f may be in Go's poller, which would
			// wake for each message.
			if fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3); err == nil {
				k.fds[f.Name()] = fd
			}
		}
		f.Close()
	}
	if os.Getenv("NOTIFY_SOCKET") != "" {
		for name := range k.fds {
			_ = tellManager("FDSTOREREMOVE=1\nFDNAME=" + name) // else it is stale next time, and is found out
		}
	}
	return k
}

// take returns a descriptor, for the caller to close, or -1.
func (k *kept) take(name string) int {
	fd, ok := k.fds[name]
	if !ok {
		return -1
	}
	delete(k.fds, name)
	return fd
}

// close closes what was not taken: the flags have no use for it.
func (k *kept) close() {
	for name, fd := range k.fds {
		k.log.Info("not going on with what was stored over the restart", "descriptor", name)
		unix.Close(fd)
	}
}

var errUnfit = errors.New("it does not go with the database and the flags")

// events goes on with the stored socket. It returns nil if there is none, or none
// that goes with the database.
func (k *kept) events(ctx context.Context, cfg cnfork.Config) *cnfork.Conn {
	fd := k.take(nameEvents)
	if fd < 0 {
		return nil
	}
	drops, fits := uint32(0), k.fits && k.meta.Stored != nil
	if fits {
		drops = *k.meta.Stored
	}
	conn, err := cnfork.Resume(ctx, fd, drops, cfg)
	switch {
	case err != nil:
		unix.Close(fd)
	case !fits || cfg.Source == cnfork.SourceFork:
		err = errors.Join(errUnfit, conn.Close())
	default:
		return conn
	}
	k.log.Warn("cannot go on with the stored events: finding processes in /proc", "err", err)
	return nil
}

// taskstats goes on with the stored socket, or returns nil.
func (k *kept) taskstats(ctx context.Context) *taskstats.Conn {
	fd := k.take(nameTaskstats)
	if fd < 0 {
		return nil
	}
	drops, fits := uint32(0), k.fits && k.meta.StoredTaskstats != nil
	if fits {
		drops = *k.meta.StoredTaskstats
	}
	conn, err := taskstats.Resume(ctx, fd, drops, taskstats.Config{})
	if err == nil && fits {
		return conn
	}
	if err == nil {
		err = errors.Join(errUnfit, conn.Close())
	}
	k.log.Warn("cannot go on with the stored taskstats: registering anew", "err", err)
	return nil
}

// exact goes on with the stored program, or returns nil.
func (k *kept) exact() *taskrelease.Source {
	h := taskrelease.Handles{Ring: k.take(nameRing), Drops: k.take(nameDrops), Program: k.take(nameProgram), Link: k.take(nameLink)}
	if h == (taskrelease.Handles{Ring: -1, Drops: -1, Program: -1, Link: -1}) {
		return nil
	}
	var src *taskrelease.Source
	err := errUnfit
	if k.fits && k.meta.StoredExact != nil && min(h.Ring, h.Drops, h.Program, h.Link) >= 0 {
		src, err = taskrelease.Resume(h, *k.meta.StoredExact, taskrelease.Config{})
	} else {
		h.Close()
	}
	if err != nil {
		k.log.Warn("cannot go on with the stored exact records: attaching anew", "err", err)
	}
	return src
}

// handOver stops reading, for the next start to go on there: events between two of
// them, and only where they are known without a gap.
func (c *core) handOver() {
	conn, ok := c.events.(*cnfork.Conn)
	if !ok || !storeOffered() || conn.Source() != cnfork.SourceProc {
		return
	}
	exact, hasExact := c.exact.(*taskrelease.Source)
	if hasExact {
		h, err := exact.Handles() // the end of its Run closes it
		if err != nil {
			c.log.Warn("cannot keep exact records over the restart", "err", err)
		} else {
			c.handles = &h
		}
	}
	c.pause()
	for b := range conn.Batches() {
		c.takeEvents(b)
	}
	if taskstats, ok := c.taskstats.(*taskstats.Conn); ok {
		for b := range taskstats.Batches() {
			c.takeTaskstats(b)
		}
		drops := taskstats.Drops()
		c.meta.StoredTaskstats = &drops
	}
	if hasExact {
		for b := range exact.Batches() {
			c.takeExact(b)
		}
	}
	if c.handles != nil {
		lost := exact.Lost()
		c.meta.StoredExact = &lost
	}
	if !c.resync && c.gaps == 0 {
		drops := conn.Drops()
		c.meta.Stored = &drops
	}
}

// handed reports whether sources are handed over in this commit.
func (c *core) handed() bool {
	return c.meta.CleanStop && (c.meta.Stored != nil || c.meta.StoredTaskstats != nil || c.meta.StoredExact != nil)
}

// heldOver returns the precise records that came and whose lines the next start
// will join.
func (c *core) heldOver() (rs []acct.Record) {
	if c.handed() {
		c.join.EachHeld(func(r *acct.Record) { rs = append(rs, *r) })
	}
	return rs
}

// writeUngrouped stores what else lives, once events are handed over: what the
// next start does not find here has its fork among them.
func (c *core) writeUngrouped(tx *store.Tx) {
	if c.meta.Stored == nil || !c.meta.CleanStop {
		return
	}
	c.tracker.EachLive(func(l groups.Life) {
		if l.Set == groups.Ungrouped && !l.Noted {
			tx.PutMember(l, usage.Account{})
		}
	})
}

// give stores the sources after the commit of what goes with them. Closing leaves
// alone what is stored.
func (c *core) give() {
	if conn, ok := c.events.(*cnfork.Conn); ok && c.meta.Stored != nil && c.keep(nameEvents, conn.Descriptor()) {
		conn.Detach()
	}
	if conn, ok := c.taskstats.(*taskstats.Conn); ok && c.meta.StoredTaskstats != nil && c.keep(nameTaskstats, conn.Descriptor()) {
		conn.Detach()
	}
	if h := c.handles; h != nil {
		_ = c.keep(nameRing, h.Ring) && c.keep(nameDrops, h.Drops) && c.keep(nameProgram, h.Program) && c.keep(nameLink, h.Link)
		h.Close()
	}
}

// keep stores a descriptor.
func (c *core) keep(name string, fd int) bool {
	err := storeDescriptor(name, fd)
	if err != nil {
		c.log.Warn("cannot store a source over the restart", "descriptor", name, "err", err)
	}
	return err == nil
}

// resumeStream goes on with the events since the stop, in their order: all that
// lived then is stored, and its end is among the events, if it has ended.
func (c *core) resumeStream(st *store.State) error {
	for i := range st.Members {
		m := &st.Members[i]
		threads := int32(1)
		if p, err := c.proc.Process(m.Life.PID); err == nil && proc.SameStart(p.Start, m.Life.Start) {
			threads = p.Threads
		}
		c.tracker.Restore(m.Life, threads, m.Life.Exit == 0)
		c.restoreAccount(m)
	}
	// Lines of the last moment may be of ended processes that are not stored.
	c.trusted, c.gaps = st.Meta.AsOf, 2
	now, forks := proc.Boottime(), c.counters.forks
	if err := c.drain(); err != nil {
		return fmt.Errorf("read stored events: %w", err)
	}
	c.log.Info("went on with the stored events", "forks", c.counters.forks-forks, "lost", c.counters.lost)
	if !c.resync {
		// Threads were counted as they are now; count those of today.
		if err := c.scan(now); err != nil {
			return err
		}
	}
	c.backlog()
	return c.step()
}
