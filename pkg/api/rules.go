// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/http"
	"strings"
	"time"

	"elsa/internal/rules"
)

// RulesTrial says what the rules would do with a process.
type RulesTrial struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Started time.Time `json:"started"`
	UID     uint32    `json:"uid"`
	// Groups are those the process is in, Joins those the rules would put it in.
	Groups []string `json:"groups"`
	Joins  []string `json:"joins"`
	// Match is "first" or "all": how many rules may match.
	Match string        `json:"match"`
	Rules []RuleVerdict `json:"rules"`
}

// RuleVerdict is what one rule says of the process.
type RuleVerdict struct {
	// Line is where the rule begins in its file.
	Line int `json:"line"`
	// Rule is its group as it is written, which may be a template; Group is the
	// name made of it, absent unless the conditions are fulfilled.
	Rule  string `json:"rule"`
	Group string `json:"group,omitempty"`
	// Outcome is "joins", "member" (it is in the group already), "closed" (the
	// group takes nobody), "unnamed" (the template makes no name), "mismatch" or
	// "skipped" (a rule before matched).
	Outcome    string          `json:"outcome"`
	Conditions []RuleCondition `json:"conditions"`
}

// RuleCondition is one condition of a rule: one of the patterns Want must match
// one of Have.
type RuleCondition struct {
	Name      string   `json:"name"`
	Want      []string `json:"want"`
	Have      []string `json:"have"`
	Fulfilled bool     `json:"fulfilled"`
}

// Try says what a set of rules would do with a process, whose facts are f.
// closed says whether a group takes nobody.
func Try(set *rules.Set, pid int, started time.Time, f rules.Facts, closed func(group string) bool) RulesTrial {
	t := RulesTrial{
		PID: pid, Command: f.Command(), Started: started.UTC(), UID: f.UID(), Groups: append([]string{}, f.Groups()...),
		Joins: []string{}, Match: string(set.Mode), Rules: []RuleVerdict{},
	}
	if t.Match == "" {
		t.Match = string(rules.First)
	}
	for _, v := range set.Try(f, closed) {
		w := RuleVerdict{Line: v.Rule.Line, Rule: v.Rule.Group, Group: v.Group, Outcome: string(v.Outcome), Conditions: []RuleCondition{}}
		for _, c := range v.Conditions {
			have := make([]string, len(c.Have))
			for i := range c.Have {
				have[i] = strings.ToValidUTF8(c.Have[i], "\uFFFD")
			}
			w.Conditions = append(w.Conditions, RuleCondition{c.Name, c.Want, have, c.Fulfilled})
		}
		if v.Outcome == rules.Joins {
			t.Joins = append(t.Joins, v.Group)
		}
		t.Rules = append(t.Rules, w)
	}
	return t
}

func tryRules(s Service, c Caller, r *http.Request) (int, any, error) {
	pid, err := pidQuery(r)
	if err != nil {
		return 0, nil, err
	}
	t, err := s.TryRules(r.Context(), c, pid)
	return http.StatusOK, t, err
}
