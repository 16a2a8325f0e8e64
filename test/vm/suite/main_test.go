// SPDX-License-Identifier: Apache-2.0

//go:build vm

package suite

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"elsa/internal/kerneltest"
)

func TestMain(m *testing.M) {
	kerneltest.Main(m, map[string]kerneltest.Role{"join": roleJoin})
}

// roleJoin tries both ways to join the fork connector's group and prints what
// the kernel says to each.
func roleJoin([]string) int {
	say := func(err error) {
		var errno unix.Errno
		switch {
		case err == nil:
			fmt.Println("joined")
		case errors.As(err, &errno):
			fmt.Println(unix.ErrnoName(errno))
		default:
			fmt.Println(err)
		}
	}
	_, err := join(groupFork)
	say(err)
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM, unix.NETLINK_CONNECTOR)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (groupFork - 1)})
	}
	say(err)
	return 0
}

// figure prints a number that the test measured. The host collects them.
func figure(name, format string, args ...any) {
	fmt.Printf("figure: %s | %s\n", name, fmt.Sprintf(format, args...))
}
