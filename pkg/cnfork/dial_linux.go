// SPDX-License-Identifier: Apache-2.0

package cnfork

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"syscall"
	"time"

	"elsa/pkg/stream"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Config says how to subscribe. The zero value of each field means its
// default.
type Config struct {
	// Source is the dialect. Default SourceAuto.
	Source Source
	// Buffer is the size to ask for the socket's receive buffer, in bytes. The
	// kernel doubles it and takes memory only for what waits there. Default
	// [stream.Room]: with 8 GiB of memory room for some 600,000 events, for a reader
	// that is stopped in a storm. More than net.core.rmem_max takes CAP_NET_ADMIN.
	Buffer int
	// AckTimeout bounds the wait for the kernel's answer to LISTEN. Default
	// one second.
	AckTimeout time.Duration
	// Stream shapes the reading. Its Size is set here.
	Stream stream.Options
}

func (cfg *Config) setDefaults() {
	if cfg.Buffer == 0 {
		cfg.Buffer = stream.Room()
	}
	if cfg.AckTimeout == 0 {
		cfg.AckTimeout = time.Second
	}
	cfg.Stream.Size = 128 // an event is 76 bytes
}

// Dial subscribes to the kernel's events and makes sure that they arrive: the
// kernel must acknowledge, and the event of a child that Dial forks must come.
// With SourceAuto it takes the fork connector if that reports the child, and
// the process connector otherwise. Events that came meanwhile are in the first
// batch.
//
// Where events cannot be had, Dial says why and what would mend it, within
// AckTimeout: CAP_NET_ADMIN is missing, the process is not in the initial pid,
// user and net namespace, the kernel has no process connector.
func Dial(ctx context.Context, cfg Config) (*Conn, error) {
	cfg.setDefaults()
	if cfg.Source == SourceAuto {
		c, err := dial(ctx, cfg, SourceFork)
		if err == nil {
			return c, nil
		}
		cfg.Source = SourceProc
	}
	c, err := dial(ctx, cfg, cfg.Source)
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s events: %w", cfg.Source, explain(err, cfg.Source, os.Readlink))
	}
	return c, nil
}

// Resume goes on with a subscribed socket that an earlier Conn gave away by
// Detach; drops is what its Drops returned when its Run had ended. It makes
// sure, as Dial does, that events arrive. Resume owns fd only on success.
func Resume(ctx context.Context, fd int, drops uint32, cfg Config) (*Conn, error) {
	cfg.setDefaults()
	cfg.Stream.Drops = drops
	protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil {
		return nil, fmt.Errorf("resume events: %w", err)
	}
	if protocol != unix.NETLINK_CONNECTOR {
		return nil, fmt.Errorf("resume events: socket has protocol %d, not that of the connector", protocol)
	}
	groups, err := unix.GetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_LIST_MEMBERSHIPS)
	if err != nil {
		return nil, fmt.Errorf("resume events: read group membership: %w", err)
	}
	source := SourceProc
	switch groups {
	case 1 << (procGroup - 1):
	case 1 << (forkGroup - 1):
		source = SourceFork
	default:
		return nil, fmt.Errorf("resume events: socket is in groups %#x, not in one of ours", groups)
	}
	c, err := newConn(fd, source, cfg.Stream)
	if err != nil {
		return nil, fmt.Errorf("resume events: %w", err)
	}
	if err := c.prove(ctx); err != nil {
		c.Detach()
		c.Close()
		return nil, fmt.Errorf("resume events: %w", err)
	}
	c.listening = source == SourceProc
	return c, nil
}

func dial(ctx context.Context, cfg Config, source Source) (*Conn, error) {
	nc, err := netlink.Dial(unix.NETLINK_CONNECTOR, nil)
	if err != nil {
		return nil, err
	}
	// The socket lives on in the descriptor taken below. This one is in Go's
	// poller, which would wake for each message.
	defer nc.Close()

	// The answers must fit even where events shall not.
	if err := setBuffer(nc, max(cfg.Buffer, handshakeBuffer)); err != nil {
		return nil, err
	}
	// After an overrun go on where there is room, instead of when all is read.
	if err := nc.SetOption(netlink.NoENOBUFS, true); err != nil {
		return nil, fmt.Errorf("set NETLINK_NO_ENOBUFS: %w", err)
	}
	group := uint32(procGroup)
	if source == SourceFork {
		group = forkGroup
	}
	if err := nc.JoinGroup(group); err != nil {
		return nil, fmt.Errorf("join netlink group %d: %w", group, err)
	}
	fd, err := duplicate(nc)
	if err != nil {
		return nil, err
	}
	c, err := newConn(fd, source, cfg.Stream)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	if source == SourceProc {
		err = c.listen(ctx, nc, cfg.AckTimeout)
	}
	if err == nil {
		err = c.prove(ctx)
	}
	if err == nil && cfg.Buffer < handshakeBuffer {
		err = setBuffer(nc, cfg.Buffer)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// handshakeBuffer is the least receive buffer while the subscription is made, in
// bytes: some 2500 events beside the kernel's answer.
const handshakeBuffer = 1 << 20

func setBuffer(nc *netlink.Conn, bytes int) error {
	if err := nc.SetReadBuffer(bytes); err != nil {
		return fmt.Errorf("set receive buffer to %d bytes: %w", bytes, err)
	}
	// Without the capability the size is cut silently.
	switch got, err := nc.ReadBuffer(); {
	case err != nil:
		return fmt.Errorf("read size of receive buffer: %w", err)
	case got < 2*bytes:
		return fmt.Errorf("set receive buffer to %d bytes: got %d: %w", bytes, got/2, unix.EPERM)
	}
	return nil
}

func duplicate(nc *netlink.Conn) (int, error) {
	raw, err := nc.SyscallConn()
	if err != nil {
		return 0, err
	}
	var fd int
	var dupErr error
	if err := raw.Control(func(p uintptr) {
		fd, dupErr = unix.FcntlInt(p, unix.F_DUPFD_CLOEXEC, 3)
	}); err != nil {
		return 0, err
	}
	if dupErr != nil {
		return 0, fmt.Errorf("duplicate socket: %w", dupErr)
	}
	return fd, nil
}

// errNoAck means that LISTEN was sent and nothing came back. The kernel
// ignores it silently in other pid and user namespaces.
var errNoAck = errors.New("no acknowledgement")

// listen switches the events on and waits for the acknowledgement.
func (c *Conn) listen(ctx context.Context, nc *netlink.Conn, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errNoAck)
	defer cancel()
	// Random, so that another listener's acknowledgement is not taken for ours.
	sent := rand.Uint32()
	c.await.ack = sent + 1
	if _, err := nc.Send(netlink.Message{
		Header: netlink.Header{Type: netlink.Done},
		Data:   appendRequest(nil, opListen, sent)[nlLen:],
	}); err != nil {
		return fmt.Errorf("send LISTEN: %w", err)
	}
	c.listening = true // answered or not: it is to be taken back
	if err := c.Await(ctx, func() bool { return c.await.acked }); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("send LISTEN: %w", err)
	}
	if c.await.errno != 0 {
		c.listening = false
		return fmt.Errorf("send LISTEN: %w", syscall.Errno(c.await.errno))
	}
	return nil
}

// errSilent means that the subscription works by all signs and does not.
var errSilent = errors.New("the kernel does not report a fork made as a test")

// prove forks a child and looks for its event, which the kernel queues before
// fork returns. It tries again as long as the event may be among those that did
// not fit the buffer.
func (c *Conn) prove(ctx context.Context) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c.await.parent = int32(unix.Gettid())
	defer func() { c.await.parent = 0 }()
	for range 100 {
		before, err := stream.Drops(c.Descriptor())
		if err != nil {
			return err
		}
		// The child finds no program to run and ends.
		if _, err := syscall.ForkExec("", nil, nil); err != syscall.ENOENT {
			return fmt.Errorf("fork a child as a test: %w", err)
		}
		if err := c.Await(ctx, func() bool { return true }); err != nil {
			return err
		}
		if c.await.forked {
			return nil
		}
		after, err := stream.Drops(c.Descriptor())
		if err != nil {
			return err
		}
		if before == after {
			break
		}
	}
	return errSilent
}

// explain puts what causes an error of dial, and what would mend it, in front
// of it. link reads /proc/self/ns.
func explain(err error, source Source, link func(name string) (string, error)) error {
	say := func(cause string) error { return fmt.Errorf("%s (%w)", cause, err) }
	foreign := func(name string) error {
		return say("this is not the initial " + name + " namespace, where alone the kernel reports: run on the host, or share the host's " + name + " namespace")
	}
	for _, ns := range []struct{ name, initial string }{
		{"pid", "pid:[4026531836]"}, // include/linux/proc_ns.h
		{"user", "user:[4026531837]"},
	} {
		if got, err := link("/proc/self/ns/" + ns.name); err == nil && got != ns.initial {
			return foreign(ns.name)
		}
	}
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return foreign("net")
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return say("CAP_NET_ADMIN is missing: run as root or grant it")
	case errors.Is(err, errSilent) && source == SourceFork:
		return say("the kernel has no fork connector: build it with the patches and CONFIG_FORK_CONNECTOR=y, or use the process connector")
	case errors.Is(err, errNoAck), errors.Is(err, unix.EPROTONOSUPPORT):
		return say("the kernel has no process connector: build it with CONFIG_CONNECTOR=y and CONFIG_PROC_EVENTS=y")
	}
	return err
}
