// SPDX-License-Identifier: Apache-2.0

package tracepoint

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// Types finds members of the running kernel's structures, by the structure's name.
type Types map[string]*btf.Struct

// KernelTypes reads the named structures from the kernel's type information. The
// error wraps os.ErrNotExist or [btf.ErrNotFound] where there is none.
func KernelTypes(names ...string) (Types, error) {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return nil, fmt.Errorf("read kernel's type information: %w", err)
	}
	t := Types{}
	for _, name := range names {
		var s *btf.Struct
		if err := spec.TypeByName(name, &s); err != nil {
			return nil, fmt.Errorf("look up struct %s: %w", name, err)
		}
		t[name] = s
	}
	return t, nil
}

// Arguments returns how many arguments a tracepoint has in the running kernel.
func Arguments(name string) (int, error) {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return 0, fmt.Errorf("read kernel's type information: %w", err)
	}
	var t *btf.Typedef
	if err := spec.TypeByName("btf_trace_"+name, &t); err != nil {
		return 0, fmt.Errorf("look up tracepoint %s: %w", name, err)
	}
	pointer, _ := t.Type.(*btf.Pointer)
	if pointer == nil {
		return 0, fmt.Errorf("look up tracepoint %s: its type is %v", name, t.Type)
	}
	proto, _ := pointer.Target.(*btf.FuncProto)
	if proto == nil {
		return 0, fmt.Errorf("look up tracepoint %s: its type is %v", name, t.Type)
	}
	return len(proto.Params) - 1, nil // the first is private
}

// Member returns where a member of a structure is, in bytes from its start, and
// how many bytes one load may take there: 1, 2, 4 or 8. path names it with dots;
// "+8" at its end means its second eight bytes.
func (t Types) Member(structure, path string) (offset int16, size int, err error) {
	path, second := strings.CutSuffix(path, "+8")
	var typ btf.Type = t[structure]
	var bits btf.Bits
	for name := range strings.SplitSeq(path, ".") {
		m, at, ok := findMember(typ, name)
		if !ok {
			return 0, 0, fmt.Errorf("struct %s has no member %s", structure, path)
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
		return 0, 0, fmt.Errorf("struct %s: member %s lies too far out, at %d", structure, path, off)
	}
	return int16(off), min(size, 8), nil
}

// Size is that of a structure in bytes.
func (t Types) Size(structure string) int { return int(t[structure].Size) }

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

// Load returns the instruction that loads a member of the structure that src points
// to.
func (t Types) Load(dst, src asm.Register, structure, path string) (asm.Instruction, error) {
	off, size, err := t.Member(structure, path)
	return asm.LoadMem(dst, src, off, Width(size)), err
}
