// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Switch returns the text of a configuration file with a set on or off. A set that is
// not in the file is that of [Ready], and goes to the end of the list. If the set is as
// it should be, the text is what it was. Where the change would do anything else to the
// file than what is meant, as seen by a YAML parser, it is an error.
func Switch(text, name string, on bool) (string, error) {
	sets := Sets(text)
	i := slices.IndexFunc(sets, func(s Set) bool { return s.Name == name })
	if i < 0 {
		ready := Ready()
		j := slices.IndexFunc(ready, func(s Set) bool { return s.Name == name })
		switch {
		case j < 0:
			names := []string{}
			for _, s := range append(sets, ready...) {
				if !slices.Contains(names, s.Name) {
					names = append(names, s.Name)
				}
			}
			return "", fmt.Errorf("there is no set %q; use %s", name, strings.Join(names, ", "))
		case !on:
			return text, nil
		}
		return insert(text, ready[j].switched(true))
	}
	s := &sets[i]
	if s.On == on {
		return text, nil
	}
	lines := strings.Split(text, "\n")
	copy(lines[s.at:], s.switched(on))
	changed := strings.Join(lines, "\n")
	return changed, checkChange(text, changed, on)
}

// Rule is a rule to add: its group and its conditions, by the name of each.
type Rule struct {
	Group      string
	Conditions []Condition
}

// Condition is a condition of a rule, with one pattern or more.
type Condition struct {
	Name     string
	Patterns []string
}

// Add returns the text of a configuration file with one more rule at the end of the
// list.
func Add(text string, r Rule) (string, error) {
	lines := []string{"- group: " + scalar(r.Group)}
	for _, c := range r.Conditions {
		items := make([]string, len(c.Patterns))
		for i, p := range c.Patterns {
			items[i] = scalar(p)
		}
		lines = append(lines, "  "+c.Name+": ["+strings.Join(items, ", ")+"]")
	}
	return insert(text, lines)
}

// scalar is a text as YAML has it, in quotes.
func scalar(text string) string {
	var b bytes.Buffer
	yaml.NewEncoder(&b).Encode(&yaml.Node{Kind: yaml.ScalarNode, Value: text, Style: yaml.DoubleQuotedStyle})
	return strings.TrimSpace(strings.ReplaceAll(b.String(), "\n ", ""))
}

// head is what a file without rules gets.
var head = []string{"rules:", "  match: all", "  list:"}

// insert puts the lines of rules, which it indents anew, behind the last rule.
func insert(text string, block []string) (string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return "", err
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if text == "" {
		lines = nil
	}
	at, indent := 0, 4
	switch rules := value(&doc, "rules"); {
	case rules == nil:
		lines = append(lines, head...)
		at = len(lines)
	case rules.Kind != yaml.MappingNode || rules.Style&yaml.FlowStyle != 0:
		return "", errByHand("rules are not written line by line")
	default:
		mode, list := child(rules, "match"), child(rules, "list")
		switch {
		case mode == nil || mode.Value != "all":
			return "", errors.New("the file has not match: all in its rules, with which one more rule changes nothing for the others; say so in the file")
		case list == nil:
			return "", errByHand("rules have no list")
		case list.Style&yaml.FlowStyle != 0:
			return "", errByHand("the list of rules is in brackets")
		}
		from := list.Line // the line after the key's, or the first rule's
		if len(list.Content) > 0 {
			from, indent = list.Content[len(list.Content)-1].Line, list.Column-1
		} else {
			for i, n := range rules.Content {
				if n == list {
					indent = rules.Content[i-1].Column + 1
				}
			}
		}
		at = from
		for i := from; i < len(lines); i++ {
			body := strings.TrimLeft(lines[i], " ")
			if strings.TrimSpace(body) == "" {
				continue
			}
			if len(lines[i])-len(body) < indent {
				break
			}
			at = i + 1
		}
	}
	old := indentOf(block[0])
	for i, line := range block {
		if line != "" {
			block[i] = strings.Repeat(" ", indent) + line[min(old, indentOf(line)):]
		}
	}
	if at > 0 && at <= len(lines) && strings.TrimSpace(lines[at-1]) != "" && block[0][indent] == '#' {
		block = append([]string{""}, block...)
	}
	changed := strings.Join(slices.Insert(lines, at, block...), "\n") + "\n"
	return changed, checkChange(text, changed, true)
}

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

func errByHand(why string) error { return fmt.Errorf("%s: it takes an edit by hand", why) }

// value is what a document's key has, nil if nothing.
func value(doc *yaml.Node, key string) *yaml.Node {
	if len(doc.Content) == 0 {
		return nil
	}
	return child(doc.Content[0], key)
}

func child(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// checkChange refuses a change by which anything else became of the file than rules that
// came, or went.
func checkChange(before, after string, more bool) error {
	old, now := map[string]any{}, map[string]any{}
	if err := errors.Join(yaml.Unmarshal([]byte(before), &old), yaml.Unmarshal([]byte(after), &now)); err != nil {
		return fmt.Errorf("it would be in order no more: %w", err)
	}
	was, is := rulesOf(old), rulesOf(now)
	if !more {
		was, is = is, was
	}
	if !reflect.DeepEqual(old, now) || len(is) <= len(was) || !isWithout(is, was) {
		return errByHand("the file is not written as is expected here, and the change would do more to it than it should")
	}
	return nil
}

// rulesOf takes the rules out of what a file says, with what is said if there are none.
func rulesOf(file map[string]any) []any {
	rules, _ := file["rules"].(map[string]any)
	if file["rules"] != nil && rules == nil {
		return nil // no rules, but something else
	}
	list, _ := rules["list"].([]any)
	if rules["list"] == nil || list != nil {
		delete(rules, "list")
	}
	if len(rules) == 0 || len(rules) == 1 && rules["match"] == "all" {
		delete(file, "rules")
	}
	return list
}

// isWithout reports whether a list is another with some that follow one another taken out.
func isWithout(long, short []any) bool {
	n := len(long) - len(short)
	for i := range len(short) + 1 {
		if slices.EqualFunc(slices.Concat(long[:i], long[i+n:]), short, func(a, b any) bool { return reflect.DeepEqual(a, b) }) {
			return true
		}
	}
	return false
}
