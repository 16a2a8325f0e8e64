// SPDX-License-Identifier: Apache-2.0

package taskevent

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"elsa/pkg/cnfork"
)

// Prove makes sure that a source that was opened tells of forks: it forks a child that
// finds no program to run, and looks for its event. peek is that of
// [elsa/pkg/tracepoint.Source].
func Prove(peek func(func(sample []byte) bool) (bool, error)) error {
	self := int32(os.Getpid())
	for range 3 {
		if _, err := syscall.ForkExec("", nil, nil); err != syscall.ENOENT {
			return fmt.Errorf("prove bpf events: fork a child as a test: %w", err)
		}
		found, err := peek(func(sample []byte) bool {
			var e cnfork.Event
			return decode(sample, &e) && e.Kind == cnfork.Fork && e.Forker == self
		})
		if err != nil || found {
			return err
		}
	}
	return errors.New("prove bpf events: the kernel does not report a fork to an attached program")
}
