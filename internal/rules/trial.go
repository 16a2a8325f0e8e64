// SPDX-License-Identifier: Apache-2.0

package rules

import "slices"

// Outcome is what a rule would do with a process.
type Outcome string

const (
	Joins    Outcome = "joins"    // it would be put in the group
	Member   Outcome = "member"   // it is in the group already
	Closed   Outcome = "closed"   // the group is closed and takes nobody
	Unnamed  Outcome = "unnamed"  // the template makes an empty name, or fails
	Mismatch Outcome = "mismatch" // a condition is not fulfilled
	Skipped  Outcome = "skipped"  // a rule before matched, and the first match wins
)

// Verdict is what one rule says of a process.
type Verdict struct {
	Rule    *Rule
	Outcome Outcome
	// Group is the name that the template makes; empty unless the conditions are
	// fulfilled.
	Group      string
	Conditions []Condition
}

// Condition is one of a rule, with what the process has.
type Condition struct {
	// Name is the key in the file, of env with the variable: "env CI".
	Name string
	// Want are patterns, of which one must match one of Have, and none of those with a !
	// in front.
	Want, Have []string
	Fulfilled  bool
}

// Try says of every rule what it would do with the process, and why. closed
// says whether a group takes nobody. It changes nothing.
func (s *Set) Try(f Facts, closed func(group string) bool) []Verdict {
	out := make([]Verdict, len(s.Rules))
	matched := false
	for i := range s.Rules {
		r := &s.Rules[i]
		v := Verdict{Rule: r, Conditions: make([]Condition, len(r.conditions))}
		for j := range r.conditions {
			v.Conditions[j] = r.conditions[j].try(f)
		}
		switch {
		case matched && s.Mode != All:
			v.Outcome = Skipped
		case !r.fulfilled(f):
			v.Outcome = Mismatch
		default:
			v.Group = r.expand(f)
			matched = matched || v.Group != ""
			switch {
			case v.Group == "":
				v.Outcome = Unnamed
			case slices.Contains(f.Groups(), v.Group):
				v.Outcome = Member
			case closed(v.Group):
				v.Outcome = Closed
			default:
				v.Outcome = Joins
			}
		}
		out[i] = v
	}
	return out
}

func (c *condition) try(f Facts) Condition {
	t := Condition{Name: c.key, Have: c.have(f, nil), Fulfilled: c.fulfilled(f)}
	if c.variable != "" {
		t.Name += " " + c.variable
	}
	for _, p := range c.want {
		t.Want = append(t.Want, string(p))
	}
	for _, p := range c.not {
		t.Want = append(t.Want, "!"+string(p))
	}
	return t
}
