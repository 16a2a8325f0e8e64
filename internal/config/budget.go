// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"elsa/internal/mapping"
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
		if groups.IsParent(b.Group) {
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
		return nil, mapping.ErrorAt(n, "budgets needs a list of at most %d entries, as in - {group: ci, cpu: 100h}", maxBudgets)
	}
	for _, e := range n.Content {
		var b struct{ Group, CPU string }
		if e.Kind != yaml.MappingNode {
			return nil, mapping.ErrorAt(e, "a budget needs group and cpu")
		}
		err := mapping.Each(e, func(key, v *yaml.Node) error {
			switch key.Value {
			case "group":
				b.Group = v.Value
			case "cpu":
				b.CPU = v.Value
			default:
				return mapping.ErrorAt(e, "unknown key %q of a budget: use group and cpu", key.Value)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if err := groups.CheckPattern(b.Group); err != nil {
			return nil, mapping.ErrorAt(e, "%w", err)
		}
		hours, err := strconv.ParseFloat(strings.TrimSuffix(b.CPU, "h"), 64)
		if err != nil || !strings.HasSuffix(b.CPU, "h") || !(hours > 0 && hours < 2e6) {
			return nil, mapping.ErrorAt(e, "cpu is %q; use hours of CPU time, as in 100h", b.CPU)
		}
		list = append(list, Budget{b.Group, time.Duration(hours * float64(time.Hour))})
	}
	return list, nil
}
