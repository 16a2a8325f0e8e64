// SPDX-License-Identifier: Apache-2.0

package api

import (
	"reflect"
	"strings"

	"elsa/pkg/usage"
)

// member is one of an answer's struct that shows a field of the usage vector.
type member struct {
	index int
	field usage.Field
}

// The members that show a field, by its name in the table of fields.
var (
	usageMembers     = membersOf(reflect.TypeFor[Usage](), func(i *usage.Info) string { return i.Name })
	precisionMembers = membersOf(reflect.TypeFor[Precision](), func(i *usage.Info) string { return i.Name })
	spentMembers     = membersOf(reflect.TypeFor[Spent](), (*usage.Info).InReport)
)

func membersOf(typ reflect.Type, nameOf func(*usage.Info) string) (members []member) {
	for f := range usage.Fields {
		for i := range typ.NumField() {
			if jsonName(typ.Field(i)) == nameOf(f.Info()) {
				members = append(members, member{i, f})
			}
		}
	}
	return members
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// show fills the members of the struct that dst points to.
func show(dst any, members []member, u *usage.Usage) {
	v := reflect.ValueOf(dst).Elem()
	for _, m := range members {
		if f := v.Field(m.index); f.CanFloat() {
			f.SetFloat(u.Value(m.field))
		} else {
			f.SetUint(u[m.field])
		}
	}
}

// FromUsage converts a usage vector to base units.
func FromUsage(u *usage.Usage) Usage {
	w := Usage{CPUSeconds: u.CPU().Seconds()}
	show(&w, usageMembers, u)
	return w
}

func fromPrecision(u *usage.Usage) (w Precision) {
	show(&w, precisionMembers, u)
	return w
}

func spent(u *usage.Usage) Spent {
	w := Spent{CPUSeconds: u.CPU().Seconds()}
	show(&w, spentMembers, u)
	return w
}
