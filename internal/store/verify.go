// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"time"

	"elsa/internal/history"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// Check opens the database at path, which nobody may use meanwhile, verifies it and
// returns what it holds. The error is that of [Open], or of [Store.Verify].
func Check(path string) (*State, error) {
	s, err := Open(path, time.Now())
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.verify()
}

// Verify decodes every value of the database, which Open found to be what was
// written, and makes sure that all of it could be committed again, with the deaths of
// all members. It changes nothing.
func (s *Store) Verify() error {
	_, err := s.verify()
	return err
}

func (s *Store) verify() (*State, error) {
	st, err := s.Load()
	if err != nil {
		return nil, err
	}
	if err := s.History(0, 1<<32-1, func(*history.Key, *usage.Usage) error { return nil }); err != nil {
		return nil, fmt.Errorf("read database %s: %w", s.path, damaged(err))
	}
	return st, s.rehearse(st)
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
		rolls.Flush(tx.AddCell)
		tx.Meta(st.Meta)
		tx.last = errRehearsed
	})
	if errors.Is(err, errRehearsed) {
		return nil
	}
	return err
}
