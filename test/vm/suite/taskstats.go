// SPDX-License-Identifier: Apache-2.0

//go:build vm

package suite

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/mdlayher/genetlink"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// exitRecords is a socket that gets a taskstats record of every task that ends.
type exitRecords struct {
	t    testing.TB
	conn *genetlink.Conn
}

func listenExits(t testing.TB) *exitRecords {
	t.Helper()
	conn, err := genetlink.Dial(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var serr error
	if err := raw.Control(func(fd uintptr) {
		serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
	}); err != nil || serr != nil {
		t.Fatal(err, serr)
	}
	family, err := conn.GetFamily(unix.TASKSTATS_GENL_NAME)
	if err != nil {
		t.Fatal(err)
	}
	cpus, err := os.ReadFile("/sys/devices/system/cpu/possible")
	if err != nil {
		t.Fatal(err)
	}
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{{
		Type: unix.TASKSTATS_CMD_ATTR_REGISTER_CPUMASK, Data: append(bytes.TrimSpace(cpus), 0),
	}})
	if err != nil {
		t.Fatal(err)
	}
	req := genetlink.Message{
		Header: genetlink.Header{Command: unix.TASKSTATS_CMD_GET, Version: unix.TASKSTATS_GENL_VERSION},
		Data:   attrs,
	}
	if _, err := conn.Execute(req, family.ID, netlink.Request|netlink.Acknowledge); err != nil {
		t.Fatalf("register for exit records: %v", err)
	}
	return &exitRecords{t, conn}
}

// drain returns the CPU time of each task that has ended, by its id: the
// record's cpu_run_virtual_total, which comes from the scheduler.
func (e *exitRecords) drain() map[int]time.Duration {
	e.t.Helper()
	cpu := make(map[int]time.Duration)
	for {
		// All is queued by now: a record is sent before its task is a zombie.
		if err := e.conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			e.t.Fatal(err)
		}
		messages, _, err := e.conn.Receive()
		if errors.Is(err, unix.ENOBUFS) {
			e.t.Fatal("exit records were lost")
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return cpu
		}
		if err != nil {
			e.t.Fatal(err)
		}
		for _, m := range messages {
			aggr, err := netlink.UnmarshalAttributes(m.Data)
			if err != nil {
				e.t.Fatal(err)
			}
			for _, a := range aggr {
				if a.Type&^unix.NLA_F_NESTED != unix.TASKSTATS_TYPE_AGGR_PID {
					continue
				}
				parts, err := netlink.UnmarshalAttributes(a.Data)
				if err != nil {
					e.t.Fatal(err)
				}
				var pid int
				for _, p := range parts {
					switch p.Type {
					case unix.TASKSTATS_TYPE_PID:
						pid = int(binary.NativeEndian.Uint32(p.Data))
					case unix.TASKSTATS_TYPE_STATS:
						// struct taskstats, include/uapi/linux/taskstats.h
						cpu[pid] = time.Duration(binary.NativeEndian.Uint64(p.Data[72:]))
					}
				}
			}
		}
	}
}
