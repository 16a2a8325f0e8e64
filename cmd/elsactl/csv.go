// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"time"

	"elsa/internal/escape"
)

// writeCSV writes v, a struct or a slice of structs, with a header. Columns are
// named and ordered as the JSON members; those of a member that is a struct
// itself are prefixed with its name, those of an embedded one are not. What is
// absent, and the time zero, is an empty field; a map is a JSON object, a list is
// separated by spaces. Text is made harmless.
func writeCSV(w io.Writer, v any) error {
	val := reflect.ValueOf(v)
	typ := val.Type()
	if typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	out := csv.NewWriter(w)
	out.Write(csvHeader(nil, "", typ))
	if val.Kind() != reflect.Slice {
		out.Write(csvFields(nil, val, typ))
	} else {
		for i := range val.Len() {
			out.Write(csvFields(nil, val.Index(i), typ))
		}
	}
	out.Flush()
	return out.Error()
}

// nested reports whether a field's members become columns.
func nested(t reflect.Type) (reflect.Type, bool) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t, t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]()
}

func csvHeader(header []string, prefix string, typ reflect.Type) []string {
	for i := range typ.NumField() {
		f := typ.Field(i)
		if !f.IsExported() && !f.Anonymous {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		sub, ok := nested(f.Type)
		switch {
		case ok && f.Anonymous:
			header = csvHeader(header, prefix, sub)
		case ok:
			header = csvHeader(header, prefix+name+"_", sub)
		default:
			header = append(header, prefix+name)
		}
	}
	return header
}

// csvFields appends the columns of v; an invalid v has them all empty.
func csvFields(row []string, v reflect.Value, typ reflect.Type) []string {
	if v.IsValid() && v.Kind() == reflect.Pointer {
		v = v.Elem() // invalid if nil
	}
	for i := range typ.NumField() {
		if f := typ.Field(i); !f.IsExported() && !f.Anonymous {
			continue
		}
		var f reflect.Value
		if v.IsValid() {
			f = v.Field(i)
		}
		if sub, ok := nested(typ.Field(i).Type); ok {
			row = csvFields(row, f, sub)
		} else {
			row = append(row, csvField(f))
		}
	}
	return row
}

func csvField(f reflect.Value) string {
	if f.IsValid() && f.Kind() == reflect.Pointer {
		f = f.Elem()
	}
	if !f.IsValid() {
		return ""
	}
	switch v := f.Interface().(type) {
	case string:
		return escape.Cell(v)
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.Format(time.RFC3339Nano)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case map[string]string, map[string]uint64: // keys and values may hold anything
		b, _ := json.Marshal(v)
		return string(b)
	case []string:
		return escape.Cell(strings.Join(v, " "))
	default:
		return fmt.Sprint(v)
	}
}
