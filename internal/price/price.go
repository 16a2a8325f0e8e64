// SPDX-License-Identifier: Apache-2.0

// Package price has what the use of a machine costs, and makes bills of it. Money is
// decimal and exact until it is rounded. It does no I/O.
package price

import (
	"fmt"
	"strings"

	"github.com/shopspring/decimal"
	"go.yaml.in/yaml/v3"

	"elsa/internal/rules"
)

// Kind is what has a price.
type Kind int

// What has a price. There is no price for memory over time, of which nothing is kept.
const (
	CPUHour   Kind = iota // an hour of CPU time
	ReadGB                // 10⁹ bytes read from storage
	WrittenGB             // 10⁹ bytes written to storage
	Kinds
)

var keys = [Kinds]string{"cpu-hour", "read-gb", "written-gb"}

// List are prices. The zero value has none.
type List struct {
	// Currency is printed as it is.
	Currency string
	// Digits are those behind the point of an amount of money, 0 to 6.
	Digits int32
	list   []entry
}

// entry are prices of what fits all that it asks for.
type entry struct {
	group, user, key, value string // patterns; "" asks nothing
	labelled                bool
	prices                  [Kinds]decimal.NullDecimal
}

// What is what a price is asked for.
type What struct {
	Group  string // "" is none
	Labels map[string]string
	User   string
}

// maxEntries bounds a list.
const maxEntries = 1000

// Parse reads the section prices of a configuration file. An error names the line.
func Parse(n *yaml.Node) (*List, error) {
	l := &List{Digits: 2}
	if n == nil {
		return l, nil
	}
	err := each(n, func(key string, v *yaml.Node) error {
		switch key {
		case "currency":
			l.Currency = v.Value
		case "digits":
			if err := v.Decode(&l.Digits); err != nil || l.Digits < 0 || l.Digits > 6 {
				return fmt.Errorf("line %d: digits is %q; use 0 to 6", v.Line, v.Value)
			}
		case "list":
			if v.Kind != yaml.SequenceNode || len(v.Content) > maxEntries {
				return fmt.Errorf("line %d: list needs a list of at most %d entries", v.Line, maxEntries)
			}
			for _, e := range v.Content {
				if err := l.parse(e); err != nil {
					return err
				}
			}
		default:
			return fmt.Errorf("line %d: unknown key %q in prices: use currency, digits and list", v.Line, key)
		}
		return nil
	})
	return l, err
}

func (l *List) parse(n *yaml.Node) error {
	var e entry
	any := false
	err := each(n, func(key string, v *yaml.Node) error {
		if v.Kind != yaml.ScalarNode {
			return fmt.Errorf("line %d: %s needs one value", v.Line, key)
		}
		switch key {
		case "group":
			e.group = v.Value
		case "user":
			e.user = v.Value
		case "label":
			e.key, e.value, e.labelled = strings.Cut(v.Value, "=")
			if !e.labelled || e.key == "" {
				return fmt.Errorf("line %d: label is %q; use KEY=VALUE", v.Line, v.Value)
			}
		default:
			for k, name := range keys {
				if key == name {
					d, err := decimal.NewFromString(v.Value)
					if err != nil || d.IsNegative() || len(v.Value) > 30 {
						return fmt.Errorf("line %d: %s is %q; use a number that is not negative", v.Line, key, v.Value)
					}
					e.prices[k], any = decimal.NewNullDecimal(d), true
					return nil
				}
			}
			return fmt.Errorf("line %d: unknown key %q of a price: use group, label, user, %s", v.Line, key, strings.Join(keys[:], ", "))
		}
		return nil
	})
	if err == nil && !any {
		err = fmt.Errorf("line %d: no price is given: use %s", n.Line, strings.Join(keys[:], ", "))
	}
	l.list = append(l.list, e)
	return err
}

// each calls f for each key of a mapping.
func each(n *yaml.Node, f func(key string, v *yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: need keys with values", n.Line)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if err := f(n.Content[i].Value, n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

// Empty reports whether nothing has a price.
func (l *List) Empty() bool { return len(l.list) == 0 }

// Of is what a kind costs for somebody: that of the first entry that fits and has it,
// else nothing.
func (l *List) Of(k Kind, w What) decimal.Decimal {
	for i := range l.list {
		e := &l.list[i]
		if e.prices[k].Valid && e.fits(w) {
			return e.prices[k].Decimal
		}
	}
	return decimal.Zero
}

func (e *entry) fits(w What) bool {
	value, has := w.Labels[e.key]
	return (e.group == "" || w.Group != "" && rules.Glob(e.group, w.Group)) &&
		(e.user == "" || rules.Glob(e.user, w.User)) &&
		(!e.labelled || has && rules.Glob(e.value, value))
}
