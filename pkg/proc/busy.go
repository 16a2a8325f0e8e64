// SPDX-License-Identifier: Apache-2.0

package proc

import "errors"

// ErrBusy is wrapped by the errors of a [Bounded] about a process that did not let
// itself be looked at in time. It may run, and it may be gone.
var ErrBusy = errors.New("the process does not let itself be looked at now")

// busy is ErrBusy; coming tells that [Bounded.Answered] will name the process.
type busy struct{ coming bool }

func (busy) Error() string        { return ErrBusy.Error() }
func (busy) Is(target error) bool { return target == ErrBusy }

// Coming reports whether err is that of a look that goes on, and of which the end
// will be told. If it is not, and err is ErrBusy, the look was refused.
func Coming(err error) bool {
	var b busy
	return errors.As(err, &b) && b.coming
}
