// SPDX-License-Identifier: Apache-2.0

package taskstats

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"elsa/pkg/acct"
	"elsa/pkg/stream"
)

// Config shapes a [Conn]. The zero value of each field means
// its default.
type Config struct {
	// ReadBuffer is the socket's receive buffer in bytes; the kernel doubles
	// it, and takes memory only for what waits there. A thread's end takes 1280 bytes
	// of that, or 2304 if its process has or had others. Default [stream.Room].
	ReadBuffer int
	// Queue is the number of batches in circulation. Default 16.
	Queue int
}

// Conn delivers one [acct.Record] per process from the kernel's taskstats
// family, sent as the process's last thread ends: before its parent is told.
// It is a [stream.Source].
//
// A record with Whole false is not of a whole process. Before version 12 of the
// structure (Linux 5.19) all are, since the kernel does not say which process
// a thread was of: PID is then the thread's id, but for the last thread of
// several. Later it is a thread whose message came behind its process's record,
// about one in a thousand, or a sum over threads, given when messages were lost
// and the rest of the process will not come. Threads that ended before
// Dial are in no record.
type Conn struct {
	*stream.Reader[acct.Record]
	family     genetlink.Family
	self       int32  // our own process id
	deregister []byte // the request to end it
	detached   bool
	closing    sync.Once

	// What decode keeps from one message to the next.
	exit       threadExit // of the message in hand
	join       *threadJoin
	drops      uint32 // the socket's drops that join knows of
	answered   bool   // to our request
	answer     unix.Errno
	childSeen  bool // a record of a child of ours came
	unreadable error
}

// pause is longer than that of events: nothing waits for these records
// but barriers, and they do not wait for the pause.
const pause = 100 * time.Millisecond

// Dial registers for the exits on all CPUs, also those that come
// online later. It lets a process of its own end and returns when the record
// of that has arrived, because in another network namespace all seems to work
// and nothing ever does. It takes two seconds at the longest.
//
// It needs CAP_NET_ADMIN in the initial namespaces, and CONFIG_TASKSTATS. The
// error says what is missing.
func Dial(ctx context.Context, cfg Config) (*Conn, error) {
	c, err := dial(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("register for taskstats: %w", err)
	}
	return c, nil
}

func dial(ctx context.Context, cfg Config) (*Conn, error) {
	if cfg.ReadBuffer <= 0 {
		cfg.ReadBuffer = stream.Room()
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	family, err := findFamily()
	if err != nil {
		return nil, err
	}
	fd, err := openSocket(cfg.ReadBuffer)
	if err != nil {
		return nil, err
	}
	c, err := newConn(fd, family, 0, cfg)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	if err := c.register(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Resume goes on with a socket that was registered by Dial,
// maybe in another process, and let go of by Detach. drops is what Drops said
// there; threads of processes that were incomplete then are in no record. It owns
// fd, and closes it also when it fails. It may take two seconds.
func Resume(ctx context.Context, fd int, drops uint32, cfg Config) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	c, err := adopt(fd, drops, cfg)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("resume taskstats: %w", err)
	}
	if err := c.prove(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("resume taskstats: %w", err)
	}
	return c, nil
}

func adopt(fd int, drops uint32, cfg Config) (*Conn, error) {
	protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil {
		return nil, err
	}
	if protocol != unix.NETLINK_GENERIC {
		return nil, fmt.Errorf("socket has protocol %d, not that of generic netlink", protocol)
	}
	family, err := findFamily()
	if err != nil {
		return nil, err
	}
	c, err := newConn(fd, family, drops, cfg)
	if err != nil {
		return nil, err
	}
	if _, err := c.prepare(); err != nil {
		c.Detach()
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func newConn(fd int, family genetlink.Family, drops uint32, cfg Config) (*Conn, error) {
	c := &Conn{family: family, self: int32(os.Getpid()), join: newThreadJoin(), drops: drops}
	var err error
	c.Reader, err = stream.NewReader(fd, c.decode, stream.Options{
		Size: 4096, Items: 256, Queue: cfg.Queue, Pause: pause, Drops: drops,
	})
	return c, err
}

// findFamily asks on a socket of its own: exit records could come between
// request and reply.
func findFamily() (genetlink.Family, error) {
	conn, err := genetlink.Dial(nil)
	if err != nil {
		return genetlink.Family{}, err
	}
	defer conn.Close()
	family, err := conn.GetFamily(familyName)
	if errors.Is(err, os.ErrNotExist) {
		err = errors.New("the kernel has no such family: it needs CONFIG_TASKSTATS")
	}
	return family, err
}

// openSocket returns a socket that is not in Go's poller.
func openSocket(buffer int) (int, error) {
	conn, err := netlink.Dial(unix.NETLINK_GENERIC, nil)
	if err != nil {
		return -1, err
	}
	defer conn.Close()
	// After an overrun take what fits again, not only when all was read.
	if err := conn.SetOption(netlink.NoENOBUFS, true); err != nil {
		return -1, err
	}
	if err := conn.SetReadBuffer(buffer); err != nil {
		return -1, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	if e := raw.Control(func(old uintptr) {
		fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	}); e != nil {
		return -1, e
	}
	return fd, err
}

// register asks for the exits on all CPUs, waits for the kernel's answer, and
// then for the record of a process that it makes end.
func (c *Conn) register(ctx context.Context) error {
	cpus, err := c.prepare()
	if err != nil {
		return err
	}
	request, err := c.request(attrRegister, netlink.Acknowledge, cpus)
	if err != nil {
		return err
	}
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if err := unix.Sendto(c.Descriptor(), request, 0, kernel); err != nil {
		return err
	}
	if err := c.Await(ctx, func() bool { return c.answered }); err != nil {
		return fmt.Errorf("wait for the kernel's answer: %w", err)
	}
	switch c.answer {
	case 0:
	case unix.EPERM:
		return fmt.Errorf("%w (run as root or with CAP_NET_ADMIN)", c.answer)
	case unix.EINVAL:
		return fmt.Errorf("%w (run in the initial user and pid namespaces)", c.answer)
	default:
		return c.answer
	}
	return c.prove(ctx)
}

// prepare makes the request that ends the registration, and returns the CPUs.
func (c *Conn) prepare() ([]byte, error) {
	cpus, err := os.ReadFile("/sys/devices/system/cpu/possible")
	if err != nil {
		return nil, err
	}
	cpus = append(bytes.TrimSpace(cpus), 0) // the kernel wants the NUL
	c.deregister, err = c.request(attrDeregister, 0, cpus)
	return cpus, err
}

// prove lets a child end and waits for its record.
func (c *Conn) prove(ctx context.Context) error {
	// A process that cannot execute its program: it is forked and ends.
	if _, err := syscall.ForkExec("/dev/null/none", nil, nil); err == nil {
		return errors.New("started a program that cannot exist")
	}
	err := c.Await(ctx, func() bool { return c.unreadable != nil || c.childSeen })
	if c.unreadable != nil {
		return c.unreadable
	}
	if err != nil {
		return fmt.Errorf("wait for the record of our own child's end: %w (run in the initial network namespace)", err)
	}
	return nil
}

func (c *Conn) request(attribute uint16, flags netlink.HeaderFlags, cpus []byte) ([]byte, error) {
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: attribute, Data: cpus}})
	if err != nil {
		return nil, err
	}
	g := genetlink.Message{Header: genetlink.Header{Command: cmdGet, Version: c.family.Version}, Data: attrs}
	data, err := g.MarshalBinary()
	if err != nil {
		return nil, err
	}
	m := netlink.Message{
		Header: netlink.Header{
			Length: uint32(netlinkHeader + len(data)),
			Type:   netlink.HeaderType(c.family.ID),
			Flags:  netlink.Request | flags,
		},
		Data: data,
	}
	return m.MarshalBinary()
}

// decode adds one datagram to b.
func (c *Conn) decode(m stream.Message, b *stream.Batch[acct.Record]) {
	if drops := c.Drops(); drops != c.drops {
		c.drops = drops
		c.join.lost()
	}
	if !m.Kernel || m.Truncated || !c.message(m.Data, b) {
		b.Rejected++
	}
}

// message adds one netlink message to b. It returns false if it is none that
// is expected here.
func (c *Conn) message(data []byte, b *stream.Batch[acct.Record]) bool {
	if len(data) < netlinkHeader {
		return false
	}
	ne := binary.NativeEndian
	length, kind, body := ne.Uint32(data), ne.Uint16(data[4:]), data[netlinkHeader:]
	if length < netlinkHeader || uint64(length) > uint64(len(data)) {
		return false
	}
	body = body[:length-netlinkHeader]
	switch kind {
	case unix.NLMSG_ERROR: // also the answer when all is well
		if len(body) < 4 {
			return false
		}
		c.answered, c.answer = true, unix.Errno(-int32(ne.Uint32(body)))
		return true
	case c.family.ID:
		if err := decodeMessage(&c.exit, body); err != nil {
			c.unreadable = err
			return false
		}
		c.childSeen = c.childSeen || c.exit.rec.PPID == c.self
		b.Items = c.join.add(b.Items, &c.exit)
		return true
	}
	return false
}

// Detach gives the registered socket to the caller, who can go on with it by
// [Resume], also in another process. It must not be called while Run is
// running.
func (c *Conn) Detach() int {
	c.detached = true
	return c.Reader.Detach()
}

// Close ends the registration and closes the socket; after Detach it leaves both
// alone. It must not be called while Run is running; calling it again does
// nothing.
func (c *Conn) Close() error {
	var err error
	c.closing.Do(func() {
		// Without this a later socket that gets the same netlink port would be
		// sent the records. If it fails there is nothing more to be done.
		if !c.detached {
			_ = unix.Sendto(c.Descriptor(), c.deregister, unix.MSG_DONTWAIT, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		}
		err = c.Reader.Close()
	})
	return err
}
