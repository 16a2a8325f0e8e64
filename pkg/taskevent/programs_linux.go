// SPDX-License-Identifier: Apache-2.0

package taskevent

import (
	"slices"

	"github.com/cilium/ebpf/asm"

	"elsa/pkg/tracepoint"
)

const (
	ofTask    = "task_struct"
	ofSignal  = "signal_struct"
	ofCred    = "cred"
	ofMM      = "mm_struct"
	ofCounter = "percpu_counter"
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
	// more stores what is no field.
	more func(t tracepoint.Types) (asm.Instructions, error)
}

var (
	tgid    = []step{{ofTask, "tgid"}}
	started = []step{{ofTask, "group_leader"}, {ofTask, "start_boottime"}}
)

// points are in the order in which they are attached: the end of a process whose
// fork was told is told for sure.
var points = []point{
	{
		name: "exit", tracepoint: "sched_process_exit", kind: kindExit, size: exitSample,
		skip:    skipUnlessLast,
		helpers: asm.Instructions{asm.FnKtimeGetBootNs.Call(), asm.StoreMem(sample, sampleEnd, asm.R0, asm.DWord)},
		fields:  []field{{sampleTGID, 4, task, tgid}, {sampleStart, 8, task, started}},
		more:    storePeak,
	},
	{
		name: "exec", tracepoint: "sched_process_exec", kind: kindExec, size: execSample,
		helpers: asm.Instructions{asm.FnGetCurrentCgroupId.Call(), asm.StoreMem(sample, sampleCgroup, asm.R0, asm.DWord)},
		fields: []field{
			{sampleTGID, 4, task, tgid}, {sampleStart, 8, task, started},
			{sampleUID, 4, task, []step{{ofTask, "real_cred"}, {ofCred, "uid.val"}}},
			{sampleGID, 4, task, []step{{ofTask, "real_cred"}, {ofCred, "gid.val"}}},
			{sampleComm, 8, task, []step{{ofTask, "comm"}}}, {sampleComm + 8, 8, task, []step{{ofTask, "comm+8"}}},
		},
	},
	{
		name: "fork", tracepoint: "sched_process_fork", kind: kindFork, size: forkSample, child: true,
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

// storePeak stores get_mm_hiwater_rss() of include/linux/mm.h, in pages. Before Linux
// 6.16 the memory is given back when the end is told.
func storePeak(t tracepoint.Types) (asm.Instructions, error) {
	none := asm.Instructions{asm.Mov.Imm(asm.R2, 0).WithSymbol("peak"), asm.StoreMem(sample, samplePeak, asm.R2, asm.DWord)}
	if told, err := TellsPeak(); err != nil || !told {
		return none, err
	}
	mm, err := t.Load(scratch, task, ofTask, "mm")
	if err != nil {
		return nil, err
	}
	peak, err := t.Load(asm.R2, scratch, ofMM, "hiwater_rss")
	if err != nil {
		return nil, err
	}
	counters, _, err := t.Member(ofMM, "rss_stat")
	if err != nil {
		return nil, err
	}
	count, _, err := t.Member(ofCounter, "count")
	if err != nil {
		return nil, err
	}
	insns := asm.Instructions{
		asm.Mov.Imm(asm.R2, 0),
		mm, asm.JEq.Imm(scratch, 0, "peak"), // a kernel thread
		asm.Mov.Imm(asm.R3, 0),
	}
	for _, kind := range [...]int{0, 1, 3} { // MM_FILEPAGES, MM_ANONPAGES, MM_SHMEMPAGES
		at := int(counters) + kind*t.Size(ofCounter) + int(count)
		insns = append(insns, asm.LoadMem(asm.R4, scratch, int16(at), asm.DWord), asm.Add.Reg(asm.R3, asm.R4))
	}
	insns = append(insns, peak, asm.JSGE.Reg(asm.R2, asm.R3, "peak"), asm.Mov.Reg(asm.R2, asm.R3))
	return append(insns, asm.StoreMem(sample, samplePeak, asm.R2, asm.DWord).WithSymbol("peak")), nil
}

// TellsPeak reports whether the end of a process comes with its peak of memory, as it
// does from Linux 6.16 on.
func TellsPeak() (bool, error) { return tellsLast() }

// tellsLast reports whether the kernel tells which thread of a process is its last.
func tellsLast() (bool, error) {
	n, err := tracepoint.Arguments("sched_process_exit")
	return n > 1, err
}

// Programs implements [tracepoint.Decoder].
func (*Decoder) Programs() (all []tracepoint.Program, err error) {
	t, err := tracepoint.KernelTypes(ofTask, ofSignal, ofCred, ofMM, ofCounter)
	if err != nil {
		return nil, err
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
	insns = append(insns, tracepoint.Reserve(sample, p.size, "full")...)
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
	if p.more != nil {
		more, err := p.more(t)
		if err != nil {
			return nil, err
		}
		insns = append(insns, more...)
	}
	return slices.Concat(insns, tracepoint.Submit(sample),
		tracepoint.Label("full", tracepoint.LostEvent()), tracepoint.Done(tracepoint.Event)), nil
}
