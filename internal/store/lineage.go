// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"encoding/json"

	"elsa/internal/lineage"
)

func originKey(o *lineage.Origin) []byte { return binary.BigEndian.AppendUint64(key32(o.Group), o.Seq) }

func (st *State) readAncestors(v []byte) error {
	var encoded []ancestorJSON
	err := json.Unmarshal(v, &encoded)
	for _, a := range encoded {
		a.Ancestor.Key = a.Key.key()
		st.Ancestors = append(st.Ancestors, a.Ancestor)
	}
	return err
}

func (st *State) readOrigin(_, v []byte) error {
	var o originJSON
	err := json.Unmarshal(v, &o)
	o.Origin.Key = o.Key.key()
	st.Origins = append(st.Origins, o.Origin)
	return err
}
