// SPDX-License-Identifier: Apache-2.0

package kerneltest

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// PseudoTerminal is needed to see what a program shows on a terminal.
var PseudoTerminal = Requirement{Name: "pseudo terminals", Probe: func() error {
	m, s, err := OpenTerminal()
	if err == nil {
		m.Close()
		s.Close()
	}
	return err
}}

// OpenTerminal makes a pseudo terminal: what is written to the slave is read
// from the master. The caller closes both.
func OpenTerminal() (master, slave *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		return nil, nil, err
	}
	return master, slave, nil
}
