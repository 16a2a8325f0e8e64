// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"

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

// Lineage reads the origins and the ended ancestors.
func (s *Store) Lineage() (origins []lineage.Origin, ancestors []lineage.Ancestor, err error) {
	read := func(tx *bolt.Tx) error {
		if v := tx.Bucket(bucketMeta).Get(keyAncestors); v != nil {
			if err := json.Unmarshal(v, &ancestors); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketOrigins).ForEach(func(_, v []byte) error {
			var o lineage.Origin
			err := json.Unmarshal(v, &o)
			origins = append(origins, o)
			return err
		})
	}
	if err := sound(func() error { return s.db.View(read) }); err != nil {
		return nil, nil, fmt.Errorf("read lineage: %w", err)
	}
	return origins, ancestors, nil
}
