// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"strconv"
	"syscall"
)

// Report reads what a child says on the descriptor fd until it executes the command,
// fails or dies. joined is what was joined: nothing if it has no group. failed is
// nil if the command executes.
func Report(fd int) (joined Failure, failed *Failure) {
	text, _ := readAll(fd)
	for text != "" {
		var line string
		line, text, _ = cut(text, "\n")
		var fields [6]string
		for i := range fields {
			fields[i], line, _ = cut(line, "\t")
		}
		errno, _ := strconv.Atoi(fields[1])
		status, _ := strconv.Atoi(fields[2])
		size, _ := strconv.Atoi(fields[5])
		size = min(size, len(text))
		f := Failure{Stage: Stage(fields[0]), Errno: syscall.Errno(errno), Status: status, Group: fields[3], Created: fields[4] == "true", Body: text[:size]}
		text = text[size:]
		if f.Stage == "" {
			joined = f
		} else {
			failed = &f
		}
	}
	return joined, failed
}
