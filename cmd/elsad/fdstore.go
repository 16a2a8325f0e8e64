// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"elsa/pkg/cnfork"
	"elsa/pkg/groups"
	"elsa/pkg/proc"
	"elsa/pkg/store"
	"elsa/pkg/usage"
)

// Over a planned restart the subscribed socket waits in systemd's store of
// descriptors, so that no event is missed: the kernel queues them in it. What a
// start needs beside it is committed at the stop, and the socket is stored only
// after that. It is taken out of the store at the start: a crash finds none.

// eventsName is what the socket is called in the store.
const eventsName = "elsa-events"

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

// storeEvents gives the manager the socket. Without FDPOLL=0 it would drop it
// when the buffer overruns.
func storeEvents(fd int) error {
	return tellManager("FDSTORE=1\nFDPOLL=0\nFDNAME="+eventsName, fd)
}

// takeStored returns the socket that the manager kept, or -1, and takes it out
// of the store.
func takeStored() int {
	stored := -1
	for _, f := range activation.Files(true) {
		if f.Name() == eventsName && stored < 0 {
			// A descriptor of its own: f may be in Go's poller, which would
			// wake for each message.
			if fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3); err == nil {
				stored = fd
			}
		}
		f.Close()
	}
	if stored >= 0 && os.Getenv("NOTIFY_SOCKET") != "" {
		_ = tellManager("FDSTOREREMOVE=1\nFDNAME=" + eventsName) // else it is stale next time, and is found out
	}
	return stored
}

// resumeEvents goes on with the stored socket. It returns nil if there is none,
// or none that goes with the database.
func resumeEvents(ctx context.Context, meta *store.Meta, cfg cnfork.Config, log *slog.Logger) *cnfork.Conn {
	fd := takeStored()
	if fd < 0 {
		return nil
	}
	boot, err := proc.Default.BootID()
	fits := err == nil && meta.CleanStop && meta.Stored != nil && meta.BootID == boot
	drops := uint32(0)
	if fits {
		drops = *meta.Stored
	}
	conn, err := cnfork.Resume(ctx, fd, drops, cfg)
	switch {
	case err != nil:
		unix.Close(fd)
	case !fits || cfg.Source == cnfork.SourceFork:
		err = errors.Join(errors.New("it does not go with the database and the flags"), conn.Close())
	default:
		return conn
	}
	log.Warn("cannot go on with the stored events: finding processes in /proc", "err", err)
	return nil
}

// handOver stops reading events, between two of them, for the next start to go
// on there. It does nothing where events are not known without a gap.
func (c *core) handOver() {
	conn, ok := c.events.(*cnfork.Conn)
	if !ok || !storeOffered() || conn.Source() != cnfork.SourceProc {
		return
	}
	c.pauseEvents()
	for b := range conn.Batches() {
		c.takeEvents(b)
	}
	if !c.resync && c.gaps == 0 {
		drops := conn.Drops()
		c.meta.Stored = &drops
	}
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

// giveEvents stores the socket after the commit of what goes with it.
func (c *core) giveEvents() {
	conn, ok := c.events.(*cnfork.Conn)
	if !ok || c.meta.Stored == nil {
		return
	}
	if err := storeEvents(conn.Descriptor()); err != nil {
		c.log.Warn("cannot store events over the restart", "err", err)
		return
	}
	conn.Detach() // closing leaves it subscribed
}

// resumeStream goes on with the events since the stop, in their order: all that
// lived then is stored, and its end is among the events, if it has ended.
func (c *core) resumeStream(st *store.State) error {
	for i := range st.Members {
		m := &st.Members[i]
		threads := int32(1)
		if p, err := c.proc.Process(m.Life.PID); err == nil && sameStart(p.Start, m.Life.Start) {
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
