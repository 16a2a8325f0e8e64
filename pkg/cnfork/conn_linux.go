// SPDX-License-Identifier: Apache-2.0

package cnfork

import (
	"fmt"
	"sync/atomic"

	"elsa/pkg/stream"

	"golang.org/x/sys/unix"
)

// Conn is a subscription to the kernel's events, a [stream.Source] of [Event]
// on a [stream.Reader]. [Dial] makes one; the one who called it closes it, when
// Run has returned.
type Conn struct {
	*stream.Reader[Event]
	source Source
	buffer int

	// The rest up to the atomic fields belongs to the goroutine that reads.
	await  expected
	cpus   sequences // process connector
	single sequence  // fork connector
	lost   gapCheck
	counts [Kinds]uint64

	published struct {
		counts               [Kinds]atomic.Uint64
		lost, gaps, rejected atomic.Uint64
	}
	listening bool // LISTEN is in force and ours to take back
}

// expected is what the one who dials waits for.
type expected struct {
	ack    uint32 // cn_msg.ack of the answer to LISTEN
	acked  bool
	errno  uint32
	parent int32 // thread id
	forked bool
}

// gapCheck compares two counts of the same loss. The socket's drop counter is
// exact for what did not fit; a message that the kernel had no memory to build
// shows only as a hole in the numbers.
type gapCheck struct {
	drops  int64 // by the socket
	excess int64 // holes beyond drops, reported as lost
}

// beyond returns how many more than before are missing from the numbers and
// not explained by drops. The socket counts a drop before the next message can
// show the hole, so when drops are read after the numbers, drops >= holes
// unless messages went missing elsewhere.
func (g *gapCheck) beyond(drops, missing int64) uint64 {
	g.drops += drops
	if e := missing - g.drops; e > g.excess {
		n := e - g.excess
		g.excess = e
		return uint64(n)
	}
	return 0
}

// Stats is a Conn's account of itself.
type Stats struct {
	// Source is SourceProc or SourceFork.
	Source Source
	// Buffer is the socket's receive buffer as the kernel accounts for it, in
	// bytes; an event takes 832 of them.
	Buffer int
	// Events received, by Kind.
	Events [Kinds]uint64
	// Lost events, the sum of all batches' Lost.
	Lost uint64
	// Gaps counts the holes in the kernel's sequence numbers now. It is a
	// check on Lost: it is at most Lost, and less only if the first or the
	// last events of a CPU are among the lost.
	Gaps uint64
	// Rejected messages, the sum of all batches' Rejected.
	Rejected uint64
}

// Stats returns the account up to the last batch delivered. Safe from any
// goroutine.
func (c *Conn) Stats() Stats {
	s := Stats{
		Source:   c.source,
		Buffer:   c.buffer,
		Lost:     c.published.lost.Load(),
		Gaps:     c.published.gaps.Load(),
		Rejected: c.published.rejected.Load(),
	}
	for k := range s.Events {
		s.Events[k] = c.published.counts[k].Load()
	}
	return s
}

// Source returns SourceProc or SourceFork.
func (c *Conn) Source() Source { return c.source }

// Close unsubscribes and closes the socket, once. It must not be called while
// Run is running. After Detach it leaves both alone.
func (c *Conn) Close() error {
	if c.listening {
		c.listening = false
		// The kernel counts listeners by LISTEN and IGNORE, not by sockets;
		// without this it would build events for nobody for ever.
		_ = unix.Sendto(c.Descriptor(), appendRequest(nil, opIgnore, 0), 0,
			&unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	return c.Reader.Close()
}

// Forsake has Close send no IGNORE, because another subscription of this program took
// the place of this one, which fell silent. Up to Linux 6.5 the kernel counts listeners
// by messages (drivers/connector/cn_proc.c, cn_proc_mcast_ctl): a subscription falls
// silent where somebody's IGNORE took our place in the count, and one of ours would take
// the new one's. From 6.6 on it counts sockets, and the close suffices.
func (c *Conn) Forsake() { c.listening = false }

// Detach gives the subscribed socket to the caller, who can go on with it by
// [Resume], also in another process. It may be called while Run is running,
// but Run goes on taking events until it is stopped.
func (c *Conn) Detach() int {
	c.listening = false
	return c.Reader.Detach()
}

func newConn(fd int, source Source, opt stream.Options) (*Conn, error) {
	buffer, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		return nil, fmt.Errorf("read size of receive buffer: %w", err)
	}
	c := &Conn{source: source, buffer: buffer}
	c.Reader, err = stream.NewReader(fd, c.receive, opt)
	if err != nil {
		return nil, err
	}
	c.Finish(c.finish)
	return c, nil
}

// receive takes one datagram.
func (c *Conn) receive(m stream.Message, b *stream.Batch[Event]) {
	group, decode := uint32(procGroup), DecodeProc
	if c.source == SourceFork {
		group, decode = forkGroup, DecodeFork
	}
	// Only the kernel has port 0. What another process sends looks the same
	// in all else.
	if !m.Kernel || m.Groups != 1<<(group-1) || m.Truncated {
		b.Rejected++
		return
	}
	e, err := decode(m.Data)
	if err != nil {
		b.Rejected++
		return
	}
	if c.source == SourceFork {
		c.single.add(e.Seq)
	} else if !c.cpus.add(e.CPU, e.Seq) {
		b.Rejected++
		return
	}
	c.counts[e.Kind]++
	switch e.Kind {
	case Other:
		return
	case Ack:
		// Other listeners' answers come here too.
		if ackNumber(m.Data) == c.await.ack {
			c.await.acked, c.await.errno = true, e.ExitCode
		}
		return
	case Fork:
		if e.ParentPID == c.await.parent {
			c.await.forked = true
		}
	}
	b.Items = append(b.Items, e)
}

// finish sees each batch before it is delivered, when the drops are counted.
func (c *Conn) finish(b *stream.Batch[Event]) {
	missing := c.single.missing + c.cpus.missing
	b.Lost += c.lost.beyond(int64(b.Lost), missing)
	for k, n := range c.counts {
		c.published.counts[k].Store(n)
	}
	c.published.lost.Add(b.Lost)
	c.published.gaps.Store(uint64(max(missing, 0)))
	c.published.rejected.Add(b.Rejected)
}
