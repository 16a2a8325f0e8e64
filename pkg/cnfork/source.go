// SPDX-License-Identifier: Apache-2.0

package cnfork

import "fmt"

// Source is a dialect of the events.
type Source uint8

const (
	// SourceAuto is the fork connector where it answers, else BPF, and else the process
	// connector.
	SourceAuto Source = iota
	// SourceProc is mainline's process connector.
	SourceProc
	// SourceFork is the fork connector of a patched kernel.
	SourceFork
	// SourceBPF is no dialect of the connector: see package elsa/pkg/taskevent.
	SourceBPF
)

var sourceNames = [...]string{SourceAuto: "auto", SourceProc: "proc", SourceFork: "fork", SourceBPF: "bpf"}

// ParseSource returns the source of that name: auto, bpf, proc or fork.
func ParseSource(name string) (Source, error) {
	for s, n := range sourceNames {
		if n == name {
			return Source(s), nil
		}
	}
	return 0, fmt.Errorf("unknown event source %q: want auto, bpf, proc or fork", name)
}

// String returns the name that ParseSource knows.
func (s Source) String() string {
	if int(s) < len(sourceNames) {
		return sourceNames[s]
	}
	return "unknown"
}
