// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/mdlayher/genetlink"
	"golang.org/x/sys/unix"
)

// The initial namespaces' inode numbers, include/linux/proc_ns.h.
const (
	initUserNS = "user:[4026531837]"
	initPIDNS  = "pid:[4026531836]"
)

func probeNamespaces() error {
	for name, want := range map[string]string{"user": initUserNS, "pid": initPIDNS} {
		got, err := os.Readlink("/proc/self/ns/" + name)
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("in another %s namespace: %s", name, got)
		}
	}
	// The initial net namespace has no fixed number, but the kernel's end of
	// the connector lives in it alone.
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_CONNECTOR)
	if err != nil {
		return fmt.Errorf("find the kernel's connector: %w", err)
	}
	defer unix.Close(fd)
	// Too short to be a message: the kernel drops it.
	err = unix.Sendto(fd, make([]byte, 4), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if errors.Is(err, unix.ECONNREFUSED) {
		return errors.New("in another net namespace: no connector in it")
	}
	return err
}

// probeProcEvents subscribes and waits for the acknowledgement: socket, bind
// and send all succeed also where no event will ever come.
func probeProcEvents() error {
	const (
		group, idx, val = 1, 1, 1
		listen, ignore  = 1, 2
		ack             = 0x6b746573
	)
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_CONNECTOR)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// Room for a busy machine's events; without the capability do without.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: group}); err != nil {
		return err
	}
	send := func(op uint32) error {
		b := make([]byte, 40) // nlmsghdr, cn_msg, op
		ne := binary.NativeEndian
		ne.PutUint32(b[0:], uint32(len(b)))
		ne.PutUint16(b[4:], unix.NLMSG_DONE)
		ne.PutUint32(b[16:], idx)
		ne.PutUint32(b[20:], val)
		ne.PutUint32(b[28:], ack)
		ne.PutUint16(b[32:], 4)
		ne.PutUint32(b[36:], op)
		return unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	}
	if err := send(listen); err != nil {
		return err
	}
	defer send(ignore)
	b := make([]byte, 256)
	for end := time.Now().Add(time.Second); ; {
		left := time.Until(end).Milliseconds()
		if left <= 0 {
			return errors.New("no acknowledgement of LISTEN within 1s")
		}
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left)); err != nil && err != unix.EINTR {
			return err
		}
		n, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT)
		if err != nil {
			continue // nothing yet, or an overrun; the deadline decides
		}
		if n < 44 || binary.NativeEndian.Uint32(b[28:]) != ack+1 || binary.NativeEndian.Uint32(b[36:]) != 0 {
			continue
		}
		if e := binary.NativeEndian.Uint32(b[52:]); n >= 56 && e != 0 {
			return fmt.Errorf("LISTEN refused: %w", unix.Errno(e))
		}
		return nil
	}
}

// probeForkConnector forks and looks for the message, which the kernel queues
// before fork returns. Joining the group proves nothing.
func probeForkConnector() error {
	const group, idx, val = 12, 0xfeed, 0xbeef
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_CONNECTOR)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (group - 1)}); err != nil {
		return err
	}
	if _, err := Fork(); err != nil {
		return err
	}
	b := make([]byte, 256)
	n, _, err := unix.Recvfrom(fd, b, unix.MSG_DONTWAIT)
	if err == unix.EAGAIN {
		return errors.New("no message of a fork")
	}
	if err != nil {
		return err
	}
	if ne := binary.NativeEndian; n < 36 || ne.Uint32(b[16:]) != idx || ne.Uint32(b[20:]) != val {
		return fmt.Errorf("a foreign message in the group: % x", b[:n])
	}
	return nil
}

// probeAcct names a file that cannot be: the kernel checks the permission
// first and changes nothing.
func probeAcct() error {
	err := unix.Acct(filepath.Join(os.TempDir(), "elsa-no-such-directory", "pacct"))
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return fmt.Errorf("acct(2): %w", err)
}

func probeTaskstats() error {
	c, err := genetlink.Dial(nil)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.GetFamily("TASKSTATS")
	return err
}

func probeBTF() error {
	f, err := os.Open("/sys/kernel/btf/vmlinux")
	if err != nil {
		return err
	}
	defer f.Close()
	var magic [2]byte
	if _, err := f.Read(magic[:]); err != nil {
		return err
	}
	if m := binary.NativeEndian.Uint16(magic[:]); m != 0xeb9f {
		return fmt.Errorf("/sys/kernel/btf/vmlinux starts with %#x", m)
	}
	return nil
}

func probeBPF() error {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:         ebpf.RawTracepoint,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
		License:      "GPL",
	})
	if err != nil {
		return err
	}
	return p.Close()
}
