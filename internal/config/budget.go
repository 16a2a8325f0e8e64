// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"elsa/internal/rules"
	"elsa/pkg/groups"
)

// Budget is how much CPU time a group may use in a month of UTC.
type Budget struct {
	// Group is a group's name; a pattern, for each group that matches; or a parent, which
	// ends with a slash, for the sum of all groups whose names begin so.
	Group string
	CPU   time.Duration
}

// Allowance is what a budget comes to for one group or parent.
type Allowance struct {
	Name string
	CPU  time.Duration
	// Groups are the indexes of the groups that use it, one but for a parent.
	Groups []int
}

// Allowances says which of the named groups has which budget: the first in the file
// that is for it. A budget that is for no group is left out.
func Allowances(budgets []Budget, names []string) (list []Allowance) {
	seen := map[string]bool{}
	for _, b := range budgets {
		if b.parent() {
			a := Allowance{Name: b.Group, CPU: b.CPU}
			for i, name := range names {
				if strings.HasPrefix(name, b.Group) {
					a.Groups = append(a.Groups, i)
				}
			}
			if a.Groups != nil && !seen[b.Group] {
				seen[b.Group] = true
				list = append(list, a)
			}
			continue
		}
		for i, name := range names {
			if !seen[name] && rules.Glob(b.Group, name) {
				seen[name] = true
				list = append(list, Allowance{name, b.CPU, []int{i}})
			}
		}
	}
	return list
}

func (b *Budget) parent() bool {
	return strings.HasSuffix(b.Group, "/") && !strings.ContainsAny(b.Group, "*?")
}

// Month is the first moment of the month of UTC that a time is in, and of the next.
func Month(t time.Time) (first, next time.Time) {
	y, m, _ := t.UTC().Date()
	first = time.Date(y, m, 1, 0, 0, 0, 0, time.UTC)
	return first, first.AddDate(0, 1, 0)
}

// maxBudgets bounds the budgets of a file.
const maxBudgets = 100

func parseBudgets(n *yaml.Node) (list []Budget, err error) {
	if n.Kind != yaml.SequenceNode || len(n.Content) > maxBudgets {
		return nil, fmt.Errorf("line %d: budgets needs a list of at most %d entries, as in - {group: ci, cpu: 100h}", n.Line, maxBudgets)
	}
	for _, e := range n.Content {
		var b struct{ Group, CPU string }
		if e.Kind != yaml.MappingNode {
			return nil, fmt.Errorf("line %d: a budget needs group and cpu", e.Line)
		}
		for i := 0; i+1 < len(e.Content); i += 2 {
			switch key := e.Content[i].Value; key {
			case "group":
				b.Group = e.Content[i+1].Value
			case "cpu":
				b.CPU = e.Content[i+1].Value
			default:
				return nil, fmt.Errorf("line %d: unknown key %q of a budget: use group and cpu", e.Line, key)
			}
		}
		if err := groups.CheckName(strings.NewReplacer("*", "x", "?", "x").Replace(b.Group)); err != nil {
			return nil, fmt.Errorf("line %d: %w", e.Line, err)
		}
		hours, err := strconv.ParseFloat(strings.TrimSuffix(b.CPU, "h"), 64)
		if err != nil || !strings.HasSuffix(b.CPU, "h") || !(hours > 0 && hours < 2e6) {
			return nil, fmt.Errorf("line %d: cpu is %q; use hours of CPU time, as in 100h", e.Line, b.CPU)
		}
		list = append(list, Budget{b.Group, time.Duration(hours * float64(time.Hour))})
	}
	return list, nil
}
