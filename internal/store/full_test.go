// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"elsa/internal/fill"
	"elsa/internal/history"
	"elsa/pkg/groups"
	"elsa/pkg/usage"
)

// filler sets every field that can be set to a value that nothing else has.
type filler struct{ n uint64 }

func (f *filler) fill(v reflect.Value) {
	f.n++
	typ := v.Type()
	switch {
	case typ == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(day.Add(time.Duration(f.n) * time.Second)))
		return
	case v.CanInt():
		v.SetInt(int64(f.n))
		return
	case v.CanUint():
		v.SetUint(f.n)
		if v.Uint() != f.n || f.n > 1<<16 {
			v.SetUint(1 + f.n%200) // a small field
		}
		return
	case v.CanFloat():
		v.SetFloat(float64(f.n) + 0.5)
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString(fmt.Sprint("s", f.n))
	case reflect.Pointer:
		v.Set(reflect.New(typ.Elem()))
		f.fill(v.Elem())
	case reflect.Map:
		key, value := reflect.New(typ.Key()).Elem(), reflect.New(typ.Elem()).Elem()
		f.fill(key)
		f.fill(value)
		v.Set(reflect.MakeMap(typ))
		v.SetMapIndex(key, value)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(typ, 2, 2))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				f.fill(v.Field(i))
			}
		}
	default:
		panic(fmt.Sprintf("%v is stored: say here how to fill it", typ))
	}
	switch v := v.Addr().Interface().(type) { // these are not stored:
	case *usage.Usage:
		v[usage.Live] = 0 // the tracker knows it
	case *groups.Life:
		v.Recorded = false // it is found out when a line is read again
	}
}

// full is a state in which no field is zero, but for those that are not stored.
// The database keeps lists in order of their keys.
func full() *State {
	st := &State{}
	new(filler).fill(reflect.ValueOf(st).Elem())
	st.Sets[0].ID, st.Sets[0].Groups = groups.Ungrouped, nil
	st.Sets[1].ID = 5
	for i := range st.Deaths {
		st.Deaths[i].Set, st.Deaths[i].Cell.Set = 5, 5
	}
	for i := range st.Origins {
		st.Origins[i].Group = uint32(i) + 1
	}
	for i := range st.Taken {
		rows, err := fill.NewRows(st.Taken[i].Source, fill.Encode([]fill.Run{{First: 3, Last: 5}, {First: uint64(900 + i), Last: 901 + uint64(i)}}))
		if err != nil {
			panic(err)
		}
		st.Taken[i].Rows = rows
	}
	return st
}

func put(st *State) func(*Tx) {
	return func(tx *Tx) {
		for _, g := range st.Groups {
			tx.PutGroup(g)
		}
		for i := range st.Sets {
			tx.PutSet(st.Sets[i].ID, st.Sets[i].Groups, &st.Sets[i].Usage)
		}
		for _, m := range st.Members {
			tx.PutMember(m.Life, m.Account)
		}
		for _, d := range st.Deaths {
			tx.PutDeath(d)
		}
		for _, o := range st.Origins {
			tx.PutOrigin(o)
		}
		for i := range st.Filled {
			tx.PutFilled(&st.Filled[i])
		}
		for i := range st.Taken {
			tx.PutTaken(&st.Taken[i])
		}
		tx.PutAncestors(st.Ancestors)
		tx.Held(st.Held)
		tx.Journal(st.Journal)
		tx.Meta(st.Meta)
	}
}

// No field of what is stored is lost over a restart.
func TestNoFieldIsLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "elsa.db")
	s := mustOpen(t, path)
	want := full()
	var cell struct {
		Key   history.Key
		Usage usage.Usage
	}
	new(filler).fill(reflect.ValueOf(&cell).Elem())
	unattributed := cell
	unattributed.Key.Groups, cell.Key.Unattributed = nil, false // a key has one or the other
	unattributed.Key.Filled = false
	filled := cell
	cell.Key.Filled = false
	cells := []any{cell, filled, unattributed}
	if err := s.Commit(func(tx *Tx) {
		put(want)(tx)
		tx.AddCell(&cell.Key, &cell.Usage)
		tx.AddCell(&unattributed.Key, &unattributed.Usage)
		tx.AddCell(&filled.Key, &filled.Usage)
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, path)
	if diff := cmp.Diff(want, mustLoad(t, s), ignoreStored); diff != "" {
		t.Errorf("state after reopening (-want +got):\n%s", diff)
	}
	var got []any
	if err := s.History(0, 1<<32-1, func(k *history.Key, u *usage.Usage) error {
		c := cell
		c.Key, c.Usage = *k, *u
		c.Key.Groups = append([]uint32(nil), k.Groups...)
		got = append(got, c)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(cells, got); diff != "" {
		t.Errorf("history after reopening (-want +got):\n%s", diff)
	}
}

// The state that the other tests store has no zero in it, so what they compare is
// all there is.
func TestFullIsFull(t *testing.T) {
	var zero func(path string, v reflect.Value)
	zero = func(path string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Slice, reflect.Array:
			for i := range v.Len() {
				zero(fmt.Sprintf("%s[%d]", path, i), v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if f := v.Type().Field(i); f.IsExported() && v.Type() != reflect.TypeFor[time.Time]() {
					zero(path+"."+f.Name, v.Field(i))
				}
			}
		}
		if v.IsZero() {
			switch path {
			case "State.Sets[0].ID", "State.Sets[0].Groups", "State.Members[0].Life.Recorded", "State.Members[1].Life.Recorded",
				fmt.Sprintf("State.Sets[0].Usage[%d]", usage.Live), fmt.Sprintf("State.Sets[1].Usage[%d]", usage.Live),
				fmt.Sprintf("State.Filled[0].Usage[%d]", usage.Live), fmt.Sprintf("State.Filled[1].Usage[%d]", usage.Live):
			default:
				t.Errorf("%s is zero", path)
			}
		}
	}
	zero("State", reflect.ValueOf(*full()))
}
