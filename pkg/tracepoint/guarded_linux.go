// SPDX-License-Identifier: Apache-2.0

package tracepoint

import (
	"errors"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// Guarded reports whether the kernel refuses to trace its functions (fentry) although
// it lets the caller trace its tracepoints. Guest kernels that do so also run no
// program on top of process 1: what that forks, and what is released in such a moment,
// one task in some thousands, is not told.
func Guarded() bool {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "elsa_guarded", Type: ebpf.Tracing, AttachType: ebpf.AttachTraceFEntry, AttachTo: "commit_creds", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err == nil {
		p.Close()
	}
	return errors.Is(err, unix.EPERM)
}
