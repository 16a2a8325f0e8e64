// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/http"
	"strings"
	"time"

	"elsa/internal/rules"
)

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
			w.Conditions = append(w.Conditions, RuleCondition{Name: c.Name, Want: c.Want, Have: have, Fulfilled: c.Fulfilled})
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
	if err := c.MayName(); err != nil {
		return 0, nil, err
	}
	t, err := s.TryRules(r.Context(), c, pid)
	return http.StatusOK, t, err
}
