// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// SwitchOn makes the kernel write the accounting records of this pid namespace
// to the end of the file at path, acct(2). The file must exist and be regular.
// Accounting that is on already goes over from one record to the next, whoever
// switched it on; the old file gets a line for the living caller. It needs
// CAP_SYS_PACCT in the initial user namespace.
func SwitchOn(path string) error {
	if err := unix.Acct(path); err != nil {
		return fmt.Errorf("switch accounting to %s: %w", path, explain(err))
	}
	return nil
}

// SwitchOff ends accounting in this pid namespace, whoever switched it on. It
// is no error if it is off.
func SwitchOff() error {
	// Only a null pointer switches off; an empty name is ENOENT.
	if _, _, errno := unix.RawSyscall(unix.SYS_ACCT, 0, 0, 0); errno != 0 {
		return fmt.Errorf("switch accounting off: %w", explain(errno))
	}
	return nil
}

// explain adds to an error of acct(2) what can be done about it.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: it needs root or CAP_SYS_PACCT, in the initial user namespace", err)
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("%w: the kernel is built without CONFIG_BSD_PROCESS_ACCT", err)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: accounting needs a regular file that can be appended to", err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w: the kernel does not account to a file system of this kind", err)
	}
	return err
}
