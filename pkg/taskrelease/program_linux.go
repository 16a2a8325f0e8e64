// SPDX-License-Identifier: Apache-2.0

package taskrelease

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// The structures that a sample's fields are read from.
const (
	fromTask = iota
	fromSignal
	fromCred
)

// sampleField says which kernel field goes where in a sample.
type sampleField struct {
	at       int // offset in the sample
	size     int // bytes there: 4 or 8
	from     int
	path     string // members, with dots
	required bool
}

// threadFields are in both samples, leaderFields in the leader's only.
var (
	threadFields = []sampleField{
		{sampleTGID, 4, fromTask, "tgid", true},
		{sampleTasks, 4, fromSignal, "sigcnt.refs.counter", false},
		{sampleRuntime, 8, fromTask, "se.sum_exec_runtime", true},
		{sampleRchar, 8, fromTask, "ioac.rchar", false},
		{sampleWchar, 8, fromTask, "ioac.wchar", false},
		{sampleSyscr, 8, fromTask, "ioac.syscr", false},
		{sampleSyscw, 8, fromTask, "ioac.syscw", false},
		{sampleReadBytes, 8, fromTask, "ioac.read_bytes", false},
		{sampleWriteBytes, 8, fromTask, "ioac.write_bytes", false},
	}
	leaderFields = []sampleField{
		{sampleFolded, 8, fromSignal, "sum_sched_runtime", true},
		{sampleUtime, 8, fromSignal, "utime", false},
		{sampleStime, 8, fromSignal, "stime", false},
		{sampleStart, 8, fromTask, "start_boottime", false},
		{sampleMinFlt, 8, fromSignal, "min_flt", false},
		{sampleMajFlt, 8, fromSignal, "maj_flt", false},
		{sampleNvcsw, 8, fromSignal, "nvcsw", false},
		{sampleNivcsw, 8, fromSignal, "nivcsw", false},
		{sampleMaxRSS, 8, fromSignal, "maxrss", false},
		{sampleComm, 8, fromTask, "comm", false},
		{sampleComm + 8, 8, fromTask, "comm+8", false},
		{sampleExit, 4, fromTask, "exit_code", false},
		{sampleGroupExit, 4, fromSignal, "group_exit_code", false},
		{sampleSigFlags, 4, fromSignal, "flags", false},
		{sampleAcctFlag, 4, fromSignal, "pacct.ac_flag", false},
		{sampleUID, 4, fromCred, "uid.val", false},
		{sampleGID, 4, fromCred, "gid.val", false},
	}
)

// kernelTypes finds members of the structures in the running kernel.
type kernelTypes [3]*btf.Struct

func findTypes(spec *btf.Spec) (t kernelTypes, err error) {
	for i, name := range []string{fromTask: "task_struct", fromSignal: "signal_struct", fromCred: "cred"} {
		if err := spec.TypeByName(name, &t[i]); err != nil {
			return t, fmt.Errorf("look up struct %s: %w", name, err)
		}
	}
	return t, nil
}

// member returns where a member is, in bytes from the start of its structure,
// and how many bytes one load may take there: 1, 2, 4 or 8.
func (t *kernelTypes) member(from int, path string) (offset int16, size int, err error) {
	path, second := strings.CutSuffix(path, "+8")
	var typ btf.Type = t[from]
	var bits btf.Bits
	for name := range strings.SplitSeq(path, ".") {
		m, at, ok := findMember(typ, name)
		if !ok {
			return 0, 0, fmt.Errorf("struct %s has no member %s", t[from].Name, path)
		}
		bits += at
		typ = m.Type
	}
	size, err = btf.Sizeof(typ)
	if err != nil {
		return 0, 0, err
	}
	off := int64(bits.Bytes())
	if second {
		off, size = off+8, size-8
	}
	if off != int64(int16(off)) {
		return 0, 0, fmt.Errorf("struct %s: member %s lies too far out, at %d", t[from].Name, path, off)
	}
	return int16(off), min(size, 8), nil
}

// findMember looks in typ and in the anonymous structures inside it.
func findMember(typ btf.Type, name string) (btf.Member, btf.Bits, bool) {
	var members []btf.Member
	switch t := btf.UnderlyingType(typ).(type) {
	case *btf.Struct:
		members = t.Members
	case *btf.Union:
		members = t.Members
	}
	for _, m := range members {
		if m.Name == name {
			return m, m.Offset, m.BitfieldSize == 0
		}
		if m.Name == "" {
			if inner, at, ok := findMember(m.Type, name); ok {
				return inner, m.Offset + at, true
			}
		}
	}
	return btf.Member{}, 0, false
}

// newProgram writes the program for sched_process_free. It is called with a
// task that has been reaped and has left the CPU for good. ring and drops are
// the maps' names. missing lists optional fields that this kernel lacks; they
// read as zero.
func newProgram(t kernelTypes, ring, drops string) (prog *ebpf.ProgramSpec, missing []string, err error) {
	const (
		task, signal, sample, cred = asm.R6, asm.R7, asm.R8, asm.R9
	)
	bases := [...]asm.Register{fromTask: task, fromSignal: signal, fromCred: cred}
	pointer := func(dst asm.Register, name string) (asm.Instruction, error) {
		off, size, err := t.member(fromTask, name)
		return asm.LoadMem(dst, task, off, width(size)), err
	}
	loadSignal, err := pointer(signal, "signal")
	if err != nil {
		return nil, nil, err
	}
	loadCred, err := pointer(cred, "real_cred")
	if err != nil {
		return nil, nil, err
	}
	exitSignal, size, err := t.member(fromTask, "exit_signal")
	if err != nil {
		return nil, nil, err
	}

	store := func(fields []sampleField) (asm.Instructions, error) {
		var insns asm.Instructions
		for _, f := range fields {
			off, size, err := t.member(f.from, f.path)
			if err != nil && f.required {
				return nil, err
			}
			if err != nil {
				missing = append(missing, f.path)
				insns = append(insns, asm.Mov.Imm(asm.R1, 0))
			} else {
				insns = append(insns, asm.LoadMem(asm.R1, bases[f.from], off, width(size)))
			}
			insns = append(insns, asm.StoreMem(sample, int16(f.at), asm.R1, width(f.size)))
		}
		return insns, nil
	}
	both, err := store(threadFields)
	if err != nil {
		return nil, nil, err
	}
	leader, err := store(leaderFields)
	if err != nil {
		return nil, nil, err
	}
	reserve := func(size int32) asm.Instructions {
		return asm.Instructions{
			asm.LoadMapPtr(asm.R1, 0).WithReference(ring),
			asm.Mov.Imm(asm.R2, size),
			asm.Mov.Imm(asm.R3, 0),
			asm.FnRingbufReserve.Call(),
			asm.JEq.Imm(asm.R0, 0, "drop"),
			asm.Mov.Reg(sample, asm.R0),
			asm.StoreMem(sample, sampleKey, signal, asm.DWord),
		}
	}
	// Wake the reader only when it had read everything (flags 0).
	submit := asm.Instructions{
		asm.Mov.Reg(asm.R1, sample),
		asm.Mov.Imm(asm.R2, 0),
		asm.FnRingbufSubmit.Call(),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
	}
	concat := func(parts ...asm.Instructions) (all asm.Instructions) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	label := func(name string, insns asm.Instructions) asm.Instructions {
		insns[0] = insns[0].WithSymbol(name)
		return insns
	}
	insns := concat(
		asm.Instructions{
			asm.LoadMem(task, asm.R1, 0, asm.DWord), // the tracepoint's argument
			loadSignal,
			asm.JEq.Imm(signal, 0, "out"),
			// thread_group_leader() of include/linux/sched/signal.h; the leader
			// that an exec by another thread put aside has -1 too.
			asm.LoadMem(asm.R1, task, exitSignal, width(size)),
			asm.JSLT.Imm32(asm.R1, 0, "thread"),
		},
		reserve(leaderSample),
		both,
		asm.Instructions{loadCred},
		asm.Instructions{asm.JEq.Imm(cred, 0, "discard")},
		leader,
		submit,
		label("discard", asm.Instructions{ // cannot be; the verifier wants it
			asm.Mov.Reg(asm.R1, sample),
			asm.Mov.Imm(asm.R2, 0),
			asm.FnRingbufDiscard.Call(),
		}),
		label("drop", asm.Instructions{
			asm.LoadMapValue(asm.R1, 0, 0).WithReference(drops),
			asm.Mov.Imm(asm.R2, 1),
			asm.StoreXAdd(asm.R1, asm.R2, asm.DWord),
		}),
		label("out", asm.Instructions{
			asm.Mov.Imm(asm.R0, 0),
			asm.Return(),
		}),
		label("thread", reserve(threadSample)),
		both,
		submit,
	)
	return &ebpf.ProgramSpec{
		Name:         "elsa_exact",
		Type:         ebpf.Tracing,
		AttachType:   ebpf.AttachTraceRawTp,
		AttachTo:     "sched_process_free",
		License:      "GPL", // what the kernel asks of a tracing program
		Instructions: insns,
	}, missing, nil
}

func width(bytes int) asm.Size {
	switch bytes {
	case 1:
		return asm.Byte
	case 2:
		return asm.Half
	case 4:
		return asm.Word
	}
	return asm.DWord
}
