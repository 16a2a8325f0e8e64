// SPDX-License-Identifier: Apache-2.0

package stream

import "time"

// Message is one datagram as it came off the socket.
type Message struct {
	// Data is the datagram, or its beginning if Truncated. It is valid only
	// during the call of the decode function.
	Data []byte
	// Kernel tells that the sender is the kernel: a netlink address with port
	// (nl_pid) 0, which no process can have. The header inside Data is the
	// sender's own claim and proves nothing.
	Kernel bool
	// Port and Groups are nl_pid and nl_groups of the sender's address.
	Port, Groups uint32
	// Truncated tells that the datagram was longer than Options.Size.
	Truncated bool
}

// Options shape a Reader. The zero value of each field means its default.
type Options struct {
	// Size is the buffer for one datagram in bytes; longer ones arrive
	// Truncated. Default 256.
	Size int
	// Datagrams is how many datagrams one system call may take. Default 64;
	// more gains nothing.
	Datagrams int
	// Items is how many items a batch may hold before it is delivered.
	// Default 1024. A batch can exceed it if one datagram holds several items.
	Items int
	// Queue is the number of batches in circulation: in the channel, with the
	// consumer and in the making. Default 16.
	Queue int
	// Pause is how long messages may gather after the first before they are
	// read: the delay that reading many at a time adds, unless Mark asks for
	// them sooner. Default 5ms. Negative: none.
	Pause time.Duration
	// Drops is how much of the socket's drop counter is accounted for
	// already; see [Reader.Drops]. Zero is right for a fresh socket.
	Drops uint32
}

func (o *Options) setDefaults() {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&o.Size, 256)
	set(&o.Datagrams, 64)
	set(&o.Items, 1024)
	set(&o.Queue, 16)
	o.Items = max(o.Items, o.Datagrams)
	o.Queue = max(o.Queue, 2)
	if o.Pause == 0 {
		o.Pause = 5 * time.Millisecond
	}
}
