// SPDX-License-Identifier: Apache-2.0

package launch

import (
	"strconv"
	"strings"
	"syscall"
)

// Report reads what a child says on the descriptor fd until it executes the command,
// fails or dies. joined is what was joined: nothing if it has no group. failed is
// nil if the command executes.
func Report(fd int) (joined Failure, failed *Failure) {
	text, _ := readAll(fd)
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		fields := strings.Split(line, "\t")
		if len(fields) != 6 {
			break
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
