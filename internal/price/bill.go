// SPDX-License-Identifier: Apache-2.0

package price

import (
	"slices"
	"strings"

	"github.com/shopspring/decimal"
)

// scale are the digits to which shares are kept before they are rounded.
const scale = 20

// units are how many of what is counted, seconds and bytes, a kind is of.
var units = [Kinds]decimal.Decimal{decimal.NewFromInt(3600), decimal.NewFromInt(1e9), decimal.NewFromInt(1e9)}

// Line is a line of a bill.
type Line struct {
	Name string
	// Quantity are hours and GB, and Amount what they cost, rounded half away from zero.
	// Sum is the amounts together.
	Quantity, Amount [Kinds]decimal.Decimal
	Sum              decimal.Decimal
}

// Bill adds up what things cost. Make one with NewBill. Not safe for concurrent use.
type Bill struct {
	prices *List
	lines  map[string]*Line
}

// NewBill returns an empty bill.
func NewBill(prices *List) *Bill { return &Bill{prices: prices, lines: map[string]*Line{}} }

// Add puts a share of what was used, one of so many equal ones, on the line of a name.
// used are seconds and bytes.
func (b *Bill) Add(name string, used [Kinds]decimal.Decimal, w What, shares int) {
	l := b.lines[name]
	if l == nil {
		l = &Line{Name: name}
		b.lines[name] = l
	}
	n := decimal.NewFromInt(int64(shares))
	for k := range Kinds {
		per := units[k].Mul(n)
		l.Quantity[k] = l.Quantity[k].Add(used[k].DivRound(per, scale))
		l.Amount[k] = l.Amount[k].Add(used[k].Mul(b.prices.Of(k, w)).DivRound(per, scale))
	}
}

// Lines are the lines in order of what they cost, the most first, and their total. Each
// amount of a line is rounded once; all sums, down and across, are of the rounded ones.
func (b *Bill) Lines() (lines []Line, total Line) {
	for _, l := range b.lines {
		out := *l
		for k := range Kinds {
			out.Amount[k] = l.Amount[k].Round(b.prices.Digits)
			out.Sum = out.Sum.Add(out.Amount[k])
			total.Quantity[k] = total.Quantity[k].Add(out.Quantity[k])
			total.Amount[k] = total.Amount[k].Add(out.Amount[k])
		}
		total.Sum = total.Sum.Add(out.Sum)
		lines = append(lines, out)
	}
	slices.SortFunc(lines, func(x, y Line) int {
		if c := y.Sum.Cmp(x.Sum); c != 0 {
			return c
		}
		return strings.Compare(x.Name, y.Name)
	})
	return lines, total
}
