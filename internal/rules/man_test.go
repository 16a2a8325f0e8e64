// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The manual page names every condition and all that a template can use, and its
// example is in order.
func TestManual(t *testing.T) {
	text, err := os.ReadFile("../../dist/man/elsa.yaml.5")
	if err != nil {
		t.Fatal(err)
	}
	page := strings.ReplaceAll(string(text), `\-`, "-")
	_, conditions, _ := strings.Cut(page, ".SS Conditions\n")
	conditions, _, _ = strings.Cut(conditions, "\n.SS ")
	for _, key := range keys {
		if !strings.Contains(conditions, " "+key+"\n") && !strings.Contains(conditions, " "+key+" \"") {
			t.Errorf("no condition %s", key)
		}
	}
	for i := range reflect.TypeFor[names]().NumMethod() {
		name := reflect.TypeFor[names]().Method(i).Name
		if !strings.Contains(page, "{{."+name) {
			t.Errorf("no {{.%s}}", name)
		}
	}
	_, example, _ := strings.Cut(page, ".SH EXAMPLE\n.nf\n")
	example, _, _ = strings.Cut(example, ".fi\n")
	var doc struct{ Rules yaml.Node }
	if err := yaml.Unmarshal([]byte(example), &doc); err != nil {
		t.Fatal(err)
	}
	if s, err := Parse(&doc.Rules); err != nil || len(s.Rules) != 4 {
		t.Errorf("the example: %v, %v", s, err)
	}
}
