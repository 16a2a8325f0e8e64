// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"

	bolt "go.etcd.io/bbolt"

	"elsa/internal/history"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// Verify checks every page of the database and every value in it, and that all of it
// could be committed again, with the deaths of all members. It changes nothing.
func (s *Store) Verify() error {
	err := sound(s.verify)
	if err != nil {
		return err
	}
	st, err := s.Load()
	if err == nil {
		err = sound(func() error {
			return s.History(0, 1<<32-1, func(*history.Key, *usage.Usage) error { return nil })
		})
	}
	if err == nil {
		err = sound(func() error { return s.rehearse(st) })
	}
	return err
}

func (s *Store) verify() error {
	return s.db.View(func(tx *bolt.Tx) error {
		var first error
		for err := range tx.Check() {
			if first == nil {
				first = err
			}
		}
		return first
	})
}

var errRehearsed = errors.New("rehearsed")

// rehearse puts a state again, and what the history would have of the deaths of its
// members, in a transaction that is rolled back.
func (s *Store) rehearse(st *State) error {
	sets := groups.NewSets()
	rolls := history.New(sets, 1)
	err := s.Commit(func(tx *Tx) {
		tx.Clear()
		for _, g := range st.Groups {
			tx.PutGroup(g)
		}
		for i := range st.Sets {
			set := &st.Sets[i]
			sets.Restore(set.ID, set.Groups)
			tx.PutSet(set.ID, set.Groups, &set.Usage)
		}
		for i := range st.Members {
			m := &st.Members[i]
			tx.PutMember(m.Life, m.Account)
			rolls.Roll(&usage.Cell{Set: m.Life.Set, UID: usage.UnknownUID, Comm: usage.Unknown})[usage.Ended]++
		}
		for i := range st.Deaths {
			tx.PutDeath(st.Deaths[i])
			cell := st.Deaths[i].Cell
			rolls.Roll(&cell)[usage.Ended]++
		}
		for _, o := range st.Origins {
			tx.PutOrigin(o)
		}
		rolls.Flush(tx.Cell, tx.PutCell)
		tx.Meta(st.Meta)
		tx.note(errRehearsed)
	})
	if errors.Is(err, errRehearsed) {
		return nil
	}
	return err
}
