// SPDX-License-Identifier: Apache-2.0

package price

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

func parse(t interface{ Fatal(...any) }, text string) (*List, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	return Parse(doc.Content[0])
}

const example = `
currency: EUR
list:
- {group: 'gpu/*', cpu-hour: 0.50}
- {label: team=core, cpu-hour: "0.02"}
- {user: alice, read-gb: 0}
- {cpu-hour: 0.05, read-gb: 0.001, written-gb: 0.002}
`

func TestOf(t *testing.T) {
	l, err := parse(t, example)
	if err != nil {
		t.Fatal(err)
	}
	core := map[string]string{"team": "core"}
	for _, tc := range []struct {
		kind Kind
		what What
		want string
	}{
		{CPUHour, What{}, "0.05"},
		{CPUHour, What{Group: "gpu/a", Labels: core}, "0.5"},
		{CPUHour, What{Group: "ci", Labels: core}, "0.02"},
		{CPUHour, What{Group: "ci", Labels: map[string]string{"team": "web"}}, "0.05"},
		{ReadGB, What{Group: "gpu/a"}, "0.001"},
		{ReadGB, What{User: "alice"}, "0"},
		{WrittenGB, What{User: "alice"}, "0.002"},
	} {
		if got := l.Of(tc.kind, tc.what); got.String() != tc.want {
			t.Errorf("%s of %+v: %s, want %s", keys[tc.kind], tc.what, got, tc.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"{list: [{cpu-hour: -1}]}":             `line 1: cpu-hour is "-1"`,
		"{list: [{cpu-hour: much}]}":           `line 1: cpu-hour is "much"`,
		"{list: [{group: a}]}":                 "line 1: no price is given",
		"{list: [{cpu: 1}]}":                   `line 1: unknown key "cpu"`,
		"{list: [{label: team, cpu-hour: 1}]}": `line 1: label is "team"`,
		"{list: x}":                            "line 1: list needs a list",
		"{digits: 7}":                          `line 1: digits is "7"`,
		"{price: 1}":                           `line 1: unknown key "price"`,
		"[a]":                                  "line 1: need keys",
	} {
		if _, err := parse(t, text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// Money is rounded half away from zero, once, and not by way of binary fractions.
func TestRounded(t *testing.T) {
	l, _ := parse(t, "{list: [{cpu-hour: 1}]}")
	for seconds, want := range map[string]string{
		"18": "0.01", "17.999999999": "0", "3.6": "0", "3618": "1.01", "3617.999999999": "1", "36000000": "10000", // 18 s are 0.005
	} {
		b := NewBill(l)
		b.Add("a", [Kinds]decimal.Decimal{CPUHour: decimal.RequireFromString(seconds)}, What{}, 1)
		if _, total := b.Lines(); total.Sum.String() != want {
			t.Errorf("%s s: %s, want %s", seconds, total.Sum, want)
		}
	}
}

// TestModelBill: whatever is used, by whom and in how many shares, a bill adds up down
// and across, has all that was used, and each amount is off by less than half a cent.
func TestModelBill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, err := parse(t, example)
		if err != nil {
			t.Fatal(err)
		}
		b := NewBill(l)
		var all [Kinds]decimal.Decimal
		exact := map[string][Kinds]decimal.Decimal{}
		for range rapid.IntRange(0, 20).Draw(t, "rows") {
			n := rapid.IntRange(1, 7).Draw(t, "shares")
			var used [Kinds]decimal.Decimal
			for k := range Kinds {
				used[k] = decimal.New(rapid.Int64Range(0, 1e15).Draw(t, "used"), -9*int32(1-min(k, 1)))
				all[k] = all[k].Add(used[k].DivRound(units[k], scale))
			}
			for range n {
				name := fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "line"))
				w := What{Group: rapid.SampledFrom([]string{"gpu/x", "ci", ""}).Draw(t, "group"), User: "alice"}
				b.Add(name, used, w, n)
				sums := exact[name]
				for k := range Kinds {
					sums[k] = sums[k].Add(used[k].Mul(l.Of(k, w)).DivRound(units[k].Mul(decimal.NewFromInt(int64(n))), 30))
				}
				exact[name] = sums
			}
		}
		lines, total := b.Lines()
		var down Line
		for _, line := range lines {
			across := decimal.Zero
			for k := range Kinds {
				across = across.Add(line.Amount[k])
				down.Amount[k] = down.Amount[k].Add(line.Amount[k])
				down.Quantity[k] = down.Quantity[k].Add(line.Quantity[k])
				if off := line.Amount[k].Sub(exact[line.Name][k]).Abs(); off.GreaterThan(decimal.RequireFromString("0.0050000001")) {
					t.Fatalf("%s is off by %s", line.Name, off)
				}
				if !line.Amount[k].Equal(line.Amount[k].Round(2)) {
					t.Fatalf("%s is no amount of money", line.Amount[k])
				}
			}
			if !across.Equal(line.Sum) {
				t.Fatalf("%s adds up to %s, and says %s", line.Name, across, line.Sum)
			}
			down.Sum = down.Sum.Add(line.Sum)
		}
		for k := range Kinds {
			if !down.Amount[k].Equal(total.Amount[k]) || !down.Quantity[k].Equal(total.Quantity[k]) {
				t.Fatalf("%s: %s, and the total says %s", keys[k], down.Amount[k], total.Amount[k])
			}
			if total.Quantity[k].Sub(all[k]).Abs().GreaterThan(decimal.New(1, -15)) {
				t.Fatalf("%s: %s, of %s", keys[k], total.Quantity[k], all[k])
			}
		}
		if !down.Sum.Equal(total.Sum) {
			t.Fatalf("lines are %s, and the total says %s", down.Sum, total.Sum)
		}
	})
}
