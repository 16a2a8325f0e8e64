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
func (tx *Tx) PutOrigin(o lineage.Origin) { tx.note(putJSON(tx.origins, originKey(&o), o)) }

// DeleteOrigin forgets an origin.
func (tx *Tx) DeleteOrigin(o lineage.Origin) { tx.note(tx.origins.Delete(originKey(&o))) }

// PutAncestors puts the ended ancestors of live members.
func (tx *Tx) PutAncestors(all []lineage.Ancestor) { tx.note(putJSON(tx.meta, keyAncestors, all)) }

func (st *State) readOrigin(_, v []byte) error {
	var o lineage.Origin
	err := json.Unmarshal(v, &o)
	st.Origins = append(st.Origins, o)
	return err
}
