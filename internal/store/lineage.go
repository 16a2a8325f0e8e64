// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"encoding/json"

	"elsa/internal/lineage"
)

var keyAncestors = []byte("ancestors") // in meta → JSON of ancestors

func originKey(o *lineage.Origin) []byte { return binary.BigEndian.AppendUint64(key32(o.Group), o.Seq) }

// PutOrigin puts who brought a process into a group.
func (tx *Tx) PutOrigin(o lineage.Origin) {
	tx.note(putJSON(tx.origins, originKey(&o), originJSON{o, encodeKey(o.Key)}))
}

// DeleteOrigin forgets an origin.
func (tx *Tx) DeleteOrigin(o lineage.Origin) { tx.note(tx.origins.Delete(originKey(&o))) }

// PutAncestors puts the ended ancestors of live members.
func (tx *Tx) PutAncestors(all []lineage.Ancestor) {
	encoded := make([]ancestorJSON, len(all))
	for i, a := range all {
		encoded[i] = ancestorJSON{a, encodeKey(a.Key)}
	}
	tx.note(putJSON(tx.meta, keyAncestors, encoded))
}

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
