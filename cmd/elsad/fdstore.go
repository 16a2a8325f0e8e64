// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"elsa/internal/feed"
	"elsa/internal/pipeline"
	"elsa/internal/store"
	"elsa/pkg/cnfork"
	"elsa/pkg/proc"
	"elsa/pkg/taskstats"
)

// manager is the service manager's store of descriptors; see sd_notify(3).
type manager struct{}

// Offered reports whether the manager keeps descriptors for us (systemd
// 254 and FileDescriptorStoreMax= in the unit).
func (manager) Offered() bool {
	n, err := strconv.Atoi(os.Getenv("FDSTORE"))
	return err == nil && n > 0 && os.Getenv("NOTIFY_SOCKET") != ""
}

// Keep gives the manager a descriptor. Without FDPOLL=0 it would drop a socket
// when the buffer overruns.
func (manager) Keep(name string, fd int) error {
	return tellManager("FDSTORE=1\nFDPOLL=0\nFDNAME="+name, fd)
}

// tellManager sends a message of sd_notify(3) with descriptors, which
// go-systemd does not.
func tellManager(text string, fds ...int) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// A manager that reads nothing must not hold up a stop.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		return err
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	return unix.Sendmsg(fd, []byte(text), rights, &unix.SockaddrUnix{Name: os.Getenv("NOTIFY_SOCKET")}, 0)
}

// Drop takes a descriptor out of the store.
func (manager) Drop(name string) {
	_ = tellManager("FDSTOREREMOVE=1\nFDNAME=" + name) // else it is stale next time, and is found out
}

// kept is what the manager kept.
type kept struct {
	meta *store.Meta
	boot string // the kernel's id of the running boot
	fits bool   // sockets go with the database
	fds  map[string]int
	log  *slog.Logger
}

// takeStored returns what the manager kept, and takes sockets out of the store.
func takeStored(meta *store.Meta, log *slog.Logger) *kept {
	k := &kept{meta: meta, fds: map[string]int{}, log: log}
	boot, err := proc.Default.BootID()
	if err == nil {
		k.boot = boot
	}
	k.fits = err == nil && meta.CleanStop && meta.BootID == boot
	for _, f := range activation.Files(true) {
		_, twice := k.fds[f.Name()]
		if strings.HasPrefix(f.Name(), "elsa-") && !twice {
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
			if !strings.HasPrefix(name, pipeline.NameRing) {
				manager{}.Drop(name)
			}
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

// events goes on with the stored events of a source. It returns nil if there are
// none, or none that go with the database.
func (k *kept) events(ctx context.Context, source cnfork.Source, buffer int) feed.Feed {
	if source != cnfork.SourceProc {
		return nil
	}
	f, err := k.connector(ctx, buffer)
	if err != nil {
		k.log.Warn("cannot go on with the stored events: finding processes in /proc", "err", err)
		return nil
	}
	return f
}

// connector goes on with the stored socket; both are nil if there is none.
func (k *kept) connector(ctx context.Context, buffer int) (feed.Feed, error) {
	fd := k.take(pipeline.NameEvents)
	if fd < 0 {
		return nil, nil
	}
	drops, fits := uint32(0), k.fits && k.meta.Stored != nil
	if fits {
		drops = *k.meta.Stored
	}
	conn, err := cnfork.Resume(ctx, fd, drops, cnfork.Config{Source: cnfork.SourceProc, Buffer: buffer})
	switch {
	case err != nil:
		unix.Close(fd)
		return nil, err
	case !fits:
		return nil, errors.Join(feed.ErrUnfit, conn.Close())
	}
	return conn, nil
}

// taskstats goes on with the stored socket, or returns nil.
func (k *kept) taskstats(ctx context.Context) *taskstats.Conn {
	fd := k.take(pipeline.NameTaskstats)
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
		err = errors.Join(feed.ErrUnfit, conn.Close())
	}
	k.log.Warn("cannot go on with the stored taskstats: registering anew", "err", err)
	return nil
}
