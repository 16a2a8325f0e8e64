// SPDX-License-Identifier: Apache-2.0

package tracepoint

import (
	"slices"

	"github.com/cilium/ebpf/asm"
)

// Of the flags of bpf_ringbuf_submit and bpf_ringbuf_discard; see bpf-helpers(7).
const (
	noWakeup    = 1
	forceWakeup = 2
)

// Width returns the size of a load or store of 1, 2, 4 or 8 bytes.
func Width(bytes int) asm.Size {
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

// Reserve returns the instructions that reserve size bytes in the ring and point
// sample there. They go to the label full if the ring is full.
func Reserve(sample asm.Register, size int32, full string) asm.Instructions {
	return append(reserve(size), asm.JEq.Imm(asm.R0, 0, full), asm.Mov.Reg(sample, asm.R0))
}

func reserve(size int32) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapPtr(asm.R1, 0).WithReference(ringMap),
		asm.Mov.Imm(asm.R2, size),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnRingbufReserve.Call(),
	}
}

// Submit returns the instructions that hand the sample over and go on at "done",
// which is in [Done].
func Submit(sample asm.Register) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, sample),
		asm.Mov.Imm(asm.R2, noWakeup),
		asm.FnRingbufSubmit.Call(), // has a full barrier
		asm.Ja.Label("done"),
	}
}

// Kind is which of the reader's streams a program writes for.
type Kind int

// The kinds.
const (
	Event Kind = iota
	Release
)

// Done returns the end of a program. "done" is for who has handed over a sample: it
// wakes the reader, if that asked for it, by a record that is none, since the reader
// may not have freed what it has read, so that the ring would not wake it by itself.
// "out" leaves.
func Done(k Kind) asm.Instructions {
	awake := int32(stateAwake)
	if k == Release {
		awake = stateAwakeReleases
	}
	return slices.Concat(
		asm.Instructions{
			asm.LoadMapValue(asm.R1, 0, uint32(awake)).WithReference(stateMap).WithSymbol("done"),
			asm.LoadMem(asm.R2, asm.R1, 0, asm.DWord),
			asm.JEq.Imm(asm.R2, 0, "out"),
			asm.Mov.Imm(asm.R2, 0),
			asm.StoreMem(asm.R1, 0, asm.R2, asm.DWord),
		},
		reserve(headerBytes),
		asm.Instructions{
			asm.JEq.Imm(asm.R0, 0, "out"),
			asm.Mov.Reg(asm.R1, asm.R0),
			asm.Mov.Imm(asm.R2, forceWakeup),
			asm.FnRingbufDiscard.Call(),
			asm.Mov.Imm(asm.R0, 0).WithSymbol("out"),
			asm.Return(),
		})
}

// LostEvent returns the instructions that count an event that found the ring full.
func LostEvent() asm.Instructions { return append(count(stateLostEvents), asm.Ja.Label("out")) }

// LostRelease returns the instructions that count the release of a task that found the
// ring full, with what it ran, in a register other than R1 and R2, and whether it led
// its process.
func LostRelease(ran asm.Register, leader bool) asm.Instructions {
	insns := count(stateLostReleases)
	if leader {
		insns = append(insns, count(stateLostProcesses)...)
	}
	return append(insns,
		asm.LoadMapValue(asm.R1, 0, stateLostCPU).WithReference(stateMap),
		asm.StoreXAdd(asm.R1, ran, asm.DWord),
		asm.Ja.Label("out"))
}

func count(at uint32) asm.Instructions {
	return asm.Instructions{
		asm.LoadMapValue(asm.R1, 0, at).WithReference(stateMap),
		asm.Mov.Imm(asm.R2, 1),
		asm.StoreXAdd(asm.R1, asm.R2, asm.DWord),
	}
}

// Label names the first of some instructions.
func Label(name string, insns asm.Instructions) asm.Instructions {
	insns[0] = insns[0].WithSymbol(name)
	return insns
}
