// SPDX-License-Identifier: Apache-2.0

package api

import (
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// node is a part of the description, as YAML has it.
type node = map[string]any

func description(t *testing.T) node {
	t.Helper()
	b, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// The description has the server's routes, no more and no fewer.
func TestDescriptionRoutes(t *testing.T) {
	var described []string
	for path, item := range description(t)["paths"].(node) {
		for method := range item.(node) {
			if method != "parameters" {
				described = append(described, strings.ToUpper(method)+" "+path)
			}
		}
	}
	var served []string
	for _, rt := range routes {
		served = append(served, rt.method+" "+rt.path)
	}
	sort.Strings(described)
	sort.Strings(served)
	if diff := cmp.Diff(served, described); diff != "" {
		t.Errorf("routes (-served +described):\n%s", diff)
	}
}

// Every schema is the type of its name: same members, same JSON types, and
// those that may be absent are not required.
func TestDescriptionSchemas(t *testing.T) {
	doc := description(t)
	schemas := doc["components"].(node)["schemas"].(node)
	types := []any{
		Error{}, CreateGroupRequest{}, AddRequest{}, AddResult{}, JoinRequest{}, JoinResult{}, RenameRequest{}, MergeRequest{}, LabelRequest{}, ParentUsage{}, RemoveRequest{}, RemoveResult{},
		Group{}, GroupDetail{}, Member{}, Ungrouped{}, GroupUsage{}, Usage{}, Precision{}, UsageReport{},
		Explanation{}, Membership{}, Ancestor{}, Origin{},
		Report{}, ReportRow{}, Spent{}, Cells{}, CellsHour{}, Cell{}, FillState{}, FillGroup{}, RowName{}, FillRows{}, FillRequest{}, FillCell{}, FillResult{}, Process{}, RulesTrial{}, RuleVerdict{}, RuleCondition{},
		Status{}, StatusSources{}, StatusEvents{}, StatusRecords{}, StatusSamples{}, StatusRules{}, StatusNames{}, StatusJournal{}, StatusConservation{},
	}
	known := map[string]bool{"GroupName": true, "Labels": true}
	for _, v := range types {
		typ := reflect.TypeOf(v)
		known[typ.Name()] = true
		schema, ok := schemas[typ.Name()].(node)
		if !ok {
			t.Errorf("no schema %s", typ.Name())
			continue
		}
		want, required := fields(typ)
		got := map[string]string{}
		var gotRequired []string
		for _, part := range append([]any{schema}, allOf(schemas, schema)...) {
			for name, p := range part.(node)["properties"].(node) {
				got[name] = jsonType(t, schemas, p.(node))
			}
			needed, _ := part.(node)["required"].([]any) // a request may need nothing
			for _, r := range needed {
				gotRequired = append(gotRequired, r.(string))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-type +schema):\n%s", typ.Name(), diff)
		}
		slices.Sort(gotRequired)
		if diff := cmp.Diff(required, gotRequired); diff != "" {
			t.Errorf("%s required (-type +schema):\n%s", typ.Name(), diff)
		}
		isRequest := strings.HasSuffix(typ.Name(), "Request")
		if closed := schema["additionalProperties"] == false; closed != isRequest {
			t.Errorf("%s: additionalProperties false is %v; requests are strict, answers may grow", typ.Name(), closed)
		}
	}
	for name := range schemas {
		if !known[name] {
			t.Errorf("schema %s has no type", name)
		}
	}
	refs(t, doc, doc)
}

// fields are the JSON members of a struct, embedded ones included, with their
// types, and the names of those that are always sent.
func fields(typ reflect.Type) (types map[string]string, required []string) {
	types = map[string]string{}
	for _, f := range reflect.VisibleFields(typ) {
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous {
			continue
		}
		types[name] = goType(f.Type)
		if opts == "" {
			required = append(required, name)
		}
	}
	slices.Sort(required)
	return types, required
}

func goType(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer:
		return goType(t.Elem())
	case t == reflect.TypeFor[time.Time]():
		return "date-time"
	case t == reflect.TypeFor[[]byte]():
		return "byte"
	case t.Kind() == reflect.Struct:
		return t.Name()
	case t.Kind() == reflect.Slice:
		return "array of " + goType(t.Elem())
	case t.Kind() == reflect.Map:
		return "map of " + goType(t.Elem())
	case t.Kind() == reflect.Bool:
		return "boolean"
	case t.Kind() == reflect.Float64:
		return "number"
	case t.Kind() == reflect.String:
		return "string"
	}
	return "integer"
}

func jsonType(t *testing.T, schemas node, s node) string {
	if ref, ok := s["$ref"].(string); ok {
		name := ref[strings.LastIndex(ref, "/")+1:]
		if name != "GroupName" && name != "Labels" {
			return name
		}
		s = schemas[name].(node)
	}
	switch s["type"] {
	case "array":
		return "array of " + jsonType(t, schemas, s["items"].(node))
	case "object":
		return "map of " + jsonType(t, schemas, s["additionalProperties"].(node))
	case "string":
		if f, ok := s["format"].(string); ok {
			return f
		}
	case "boolean", "number", "integer":
	default:
		t.Errorf("schema of type %v", s["type"])
	}
	return s["type"].(string)
}

// allOf are the schemas that s includes.
func allOf(schemas, s node) (included []any) {
	list, _ := s["allOf"].([]any)
	for _, p := range list {
		ref := p.(node)["$ref"].(string)
		included = append(included, schemas[ref[strings.LastIndex(ref, "/")+1:]])
	}
	return included
}

// refs checks that every $ref leads somewhere.
func refs(t *testing.T, doc, v any) {
	switch v := v.(type) {
	case node:
		for key, sub := range v {
			if ref, ok := sub.(string); ok && key == "$ref" {
				at := doc
				for _, step := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
					at = at.(node)[step]
				}
				if at == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			refs(t, doc, sub)
		}
	case []any:
		for _, sub := range v {
			refs(t, doc, sub)
		}
	}
}
