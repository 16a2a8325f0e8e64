// SPDX-License-Identifier: Apache-2.0

package taskevent

import (
	"slices"

	"github.com/cilium/ebpf/asm"

	"elsa/pkg/tracepoint"
)

const (
	ofTask   = "task_struct"
	ofSignal = "signal_struct"
	ofCred   = "cred"
)

// The registers of all programs. The first two hold the tracepoint's arguments.
const (
	task, child, sample, scratch = asm.R6, asm.R7, asm.R8, asm.R9
)

// field says which kernel field goes where in a sample: the last member of a path
// that begins at a task and follows pointers.
type field struct {
	at, size int          // in the sample
	of       asm.Register // task or child
	path     []step
}

// step is a member of a structure.
type step struct{ of, member string }

// point is one tracepoint and what its program does.
type point struct {
	name, tracepoint string
	kind, size       int32
	child            bool // the second argument is the child
	// skip leaves the program, by "out", for what is not to be told.
	skip func(t tracepoint.Types) (asm.Instructions, error)
	// helpers calls functions of the kernel and stores what they return.
	helpers asm.Instructions
	fields  []field
}

var (
	tgid    = []step{{ofTask, "tgid"}}
	started = []step{{ofTask, "group_leader"}, {ofTask, "start_boottime"}}
)

// points are in the order in which they are attached: the end of a process whose
// fork was told is told for sure.
var points = []point{
	{
		name: "elsa_exit", tracepoint: "sched_process_exit", kind: kindExit, size: exitSample,
		skip:    skipUnlessLast,
		helpers: asm.Instructions{asm.FnKtimeGetNs.Call(), asm.StoreMem(sample, sampleTime, asm.R0, asm.DWord)},
		fields:  []field{{sampleTGID, 4, task, tgid}, {sampleStart, 8, task, started}},
	},
	{
		name: "elsa_exec", tracepoint: "sched_process_exec", kind: kindExec, size: execSample,
		helpers: asm.Instructions{asm.FnGetCurrentCgroupId.Call(), asm.StoreMem(sample, sampleCgroup, asm.R0, asm.DWord)},
		fields: []field{
			{sampleTGID, 4, task, tgid}, {sampleStart, 8, task, started},
			{sampleUID, 4, task, []step{{ofTask, "real_cred"}, {ofCred, "uid.val"}}},
			{sampleGID, 4, task, []step{{ofTask, "real_cred"}, {ofCred, "gid.val"}}},
			{sampleComm, 8, task, []step{{ofTask, "comm"}}}, {sampleComm + 8, 8, task, []step{{ofTask, "comm+8"}}},
		},
	},
	{
		name: "elsa_fork", tracepoint: "sched_process_fork", kind: kindFork, size: forkSample, child: true,
		skip: skipThread,
		fields: []field{
			{sampleTGID, 4, child, tgid}, {sampleStart, 8, child, []step{{ofTask, "start_boottime"}}},
			{sampleForker, 4, task, tgid}, {sampleForkerStart, 8, task, started},
			{sampleParent, 4, child, []step{{ofTask, "real_parent"}, {ofTask, "tgid"}}},
		},
	},
}

// skipThread leaves for a child that is a thread.
func skipThread(t tracepoint.Types) (asm.Instructions, error) {
	pid, err := t.Load(asm.R2, child, ofTask, "pid")
	if err != nil {
		return nil, err
	}
	tgid, err := t.Load(asm.R3, child, ofTask, "tgid")
	return asm.Instructions{pid, tgid, asm.JNE.Reg(asm.R2, asm.R3, "out")}, err
}

// skipUnlessLast leaves while other threads of the process live. Linux 6.16 and later
// tell the last one. Before that the count of those that live says it, and two threads
// that end at once may both be the last.
func skipUnlessLast(t tracepoint.Types) (asm.Instructions, error) {
	told, err := tellsLast()
	if err != nil {
		return nil, err
	}
	if told { // the tracepoint's second argument
		return asm.Instructions{asm.LoadMem(asm.R2, asm.R1, 8, asm.DWord), asm.JEq.Imm(asm.R2, 0, "out")}, nil
	}
	signal, err := t.Load(asm.R2, task, ofTask, "signal")
	if err != nil {
		return nil, err
	}
	live, err := t.Load(asm.R2, asm.R2, ofSignal, "live.counter")
	return asm.Instructions{signal, live, asm.JNE.Imm32(asm.R2, 0, "out")}, err
}

// tellsLast reports whether the kernel tells which thread of a process is its last.
func tellsLast() (bool, error) {
	n, err := tracepoint.Arguments("sched_process_exit")
	return n > 1, err
}

// programs writes the programs for the running kernel.
func programs() (all []tracepoint.Program, err error) {
	t, err := tracepoint.KernelTypes(ofTask, ofSignal, ofCred)
	if err != nil {
		return nil, tracepoint.Explain(err)
	}
	for i := range points {
		insns, err := points[i].write(t)
		if err != nil {
			return nil, err
		}
		all = append(all, tracepoint.Program{Name: points[i].name, Tracepoint: points[i].tracepoint, Instructions: insns})
	}
	return all, nil
}

func (p *point) write(t tracepoint.Types) (insns asm.Instructions, err error) {
	insns = asm.Instructions{asm.LoadMem(task, asm.R1, 0, asm.DWord)}
	if p.child {
		insns = append(insns, asm.LoadMem(child, asm.R1, 8, asm.DWord))
	}
	if p.skip != nil {
		skip, err := p.skip(t)
		if err != nil {
			return nil, err
		}
		insns = append(insns, skip...)
	}
	insns = append(insns, tracepoint.Reserve(sample, p.size)...)
	insns = append(insns, asm.StoreImm(sample, sampleKind, int64(p.kind), asm.Word))
	insns = append(insns, p.helpers...)
	for _, f := range p.fields {
		from := f.of
		for _, s := range f.path {
			load, err := t.Load(scratch, from, s.of, s.member)
			if err != nil {
				return nil, err
			}
			insns = append(insns, load)
			from = scratch
		}
		insns = append(insns, asm.StoreMem(sample, int16(f.at), scratch, tracepoint.Width(f.size)))
	}
	return slices.Concat(insns, tracepoint.Submit(sample), tracepoint.Drop()), nil
}
