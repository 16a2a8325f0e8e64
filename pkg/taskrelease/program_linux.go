// SPDX-License-Identifier: Apache-2.0

package taskrelease

import (
	"slices"

	"github.com/cilium/ebpf/asm"

	"elsa/pkg/tracepoint"
)

// The structures that a sample's fields are read from.
const (
	fromTask   = "task_struct"
	fromSignal = "signal_struct"
	fromCred   = "cred"
)

// sampleField says which kernel field goes where in a sample.
type sampleField struct {
	at       int // offset in the sample
	size     int // bytes there: 4 or 8
	from     string
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
		{sampleReadBytes, 8, fromTask, "ioac.read_bytes", false},
		{sampleWriteBytes, 8, fromTask, "ioac.write_bytes", false},
		{sampleDelay, 8, fromTask, "sched_info.run_delay", false},
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

// newProgram writes the program for sched_process_free. It is called with a
// task that has been reaped and has left the CPU for good. missing lists optional
// fields that this kernel lacks; they read as zero.
func newProgram(t tracepoint.Types) (prog tracepoint.Program, missing []string, err error) {
	const (
		task, signal, sample, cred, ranAs = asm.R6, asm.R7, asm.R8, asm.R9, asm.R9
	)
	bases := map[string]asm.Register{fromTask: task, fromSignal: signal, fromCred: cred}
	loadSignal, err := t.Load(signal, task, fromTask, "signal")
	if err != nil {
		return prog, nil, err
	}
	loadCred, err := t.Load(cred, task, fromTask, "real_cred")
	if err != nil {
		return prog, nil, err
	}
	loadExitSignal, err := t.Load(asm.R1, task, fromTask, "exit_signal")
	if err != nil {
		return prog, nil, err
	}

	store := func(fields []sampleField) (asm.Instructions, error) {
		var insns asm.Instructions
		for _, f := range fields {
			load, err := t.Load(asm.R1, bases[f.from], f.from, f.path)
			if err != nil && f.required {
				return nil, err
			}
			if err != nil {
				missing = append(missing, f.path)
				load = asm.Mov.Imm(asm.R1, 0)
			}
			insns = append(insns, load, asm.StoreMem(sample, int16(f.at), asm.R1, tracepoint.Width(f.size)))
		}
		return insns, nil
	}
	both, err := store(threadFields)
	if err != nil {
		return prog, nil, err
	}
	leader, err := store(leaderFields)
	if err != nil {
		return prog, nil, err
	}
	ran, err := t.Load(ranAs, task, fromTask, "se.sum_exec_runtime")
	if err != nil {
		return prog, nil, err
	}
	reserve := func(size int32, full string) asm.Instructions {
		return append(tracepoint.Reserve(sample, size, full), asm.StoreMem(sample, sampleKey, signal, asm.DWord))
	}
	label := tracepoint.Label
	insns := slices.Concat(
		asm.Instructions{
			asm.LoadMem(task, asm.R1, 0, asm.DWord), // the tracepoint's argument
			loadSignal,
			asm.JEq.Imm(signal, 0, "out"),
			// thread_group_leader() of include/linux/sched/signal.h; the leader
			// that an exec by another thread put aside has -1 too.
			loadExitSignal,
			asm.JSLT.Imm32(asm.R1, 0, "thread"),
		},
		reserve(leaderSample, "no room"),
		both,
		asm.Instructions{loadCred},
		asm.Instructions{asm.JEq.Imm(cred, 0, "discard")},
		leader,
		tracepoint.Submit(sample),
		label("discard", asm.Instructions{ // cannot be; the verifier wants it
			asm.Mov.Reg(asm.R1, sample),
			asm.Mov.Imm(asm.R2, 0),
			asm.FnRingbufDiscard.Call(),
			asm.Ja.Label("out"),
		}),
		label("thread", reserve(threadSample, "no room for a thread")),
		both,
		tracepoint.Submit(sample),
		label("no room", asm.Instructions{ran}), tracepoint.LostRelease(ranAs, true),
		label("no room for a thread", asm.Instructions{ran}), tracepoint.LostRelease(ranAs, false),
		tracepoint.Done(tracepoint.Release),
	)
	return tracepoint.Program{Name: "exact", Tracepoint: "sched_process_free", Instructions: insns}, missing, nil
}
