// SPDX-License-Identifier: Apache-2.0

// Package price has what the use of a machine costs, and makes bills of it. Money is
// decimal and exact until it is rounded. It does no I/O.
package price

import (
	"strings"

	"github.com/shopspring/decimal"
	"go.yaml.in/yaml/v3"

	"elsa/internal/mapping"
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
	err := mapping.Each(n, func(key, v *yaml.Node) error {
		switch key.Value {
		case "currency":
			l.Currency = v.Value
		case "digits":
			if err := v.Decode(&l.Digits); err != nil || l.Digits < 0 || l.Digits > 6 {
				return mapping.ErrorAt(v, "digits is %q; use 0 to 6", v.Value)
			}
		case "list":
			if v.Kind != yaml.SequenceNode || len(v.Content) > maxEntries {
				return mapping.ErrorAt(v, "list needs a list of at most %d entries", maxEntries)
			}
			for _, e := range v.Content {
				if err := l.parse(e); err != nil {
					return err
				}
			}
		default:
			return mapping.ErrorAt(v, "unknown key %q in prices: use currency, digits and list", key.Value)
		}
		return nil
	})
	return l, err
}

func (l *List) parse(n *yaml.Node) error {
	var e entry
	any := false
	err := mapping.Each(n, func(k, v *yaml.Node) error {
		key := k.Value
		if v.Kind != yaml.ScalarNode {
			return mapping.ErrorAt(v, "%s needs one value", key)
		}
		switch key {
		case "group":
			e.group = v.Value
		case "user":
			e.user = v.Value
		case "label":
			e.key, e.value, e.labelled = strings.Cut(v.Value, "=")
			if !e.labelled || e.key == "" {
				return mapping.ErrorAt(v, "label is %q; use KEY=VALUE", v.Value)
			}
		default:
			for kind, name := range keys {
				if key == name {
					d, err := decimal.NewFromString(v.Value)
					if err != nil || d.IsNegative() || len(v.Value) > 30 {
						return mapping.ErrorAt(v, "%s is %q; use a number that is not negative", key, v.Value)
					}
					e.prices[kind], any = decimal.NewNullDecimal(d), true
					return nil
				}
			}
			return mapping.ErrorAt(v, "unknown key %q of a price: use group, label, user, %s", key, strings.Join(keys[:], ", "))
		}
		return nil
	})
	if err == nil && !any {
		err = mapping.ErrorAt(n, "no price is given: use %s", strings.Join(keys[:], ", "))
	}
	l.list = append(l.list, e)
	return err
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
