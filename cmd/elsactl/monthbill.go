// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/shopspring/decimal"
	"github.com/spf13/cobra"

	"elsa/internal/config"
	"elsa/internal/price"
	"elsa/pkg/client"
)

// monthBill is what a month cost, for a program. Money and quantities are decimal.
type monthBill struct {
	Month    string     `json:"month"`
	Since    time.Time  `json:"since"`
	Until    time.Time  `json:"until"`
	By       string     `json:"by"`
	Currency string     `json:"currency"`
	Lines    []billLine `json:"lines"`
	Total    billLine   `json:"total"`
}

type billLine struct {
	Name          string      `json:"name,omitempty"`
	CPUHours      json.Number `json:"cpu_hours"`
	CPUAmount     json.Number `json:"cpu_amount"`
	ReadGB        json.Number `json:"read_gb"`
	ReadAmount    json.Number `json:"read_amount"`
	WrittenGB     json.Number `json:"written_gb"`
	WrittenAmount json.Number `json:"written_amount"`
	Amount        json.Number `json:"amount"`
}

// billRow is a line of the bill as CSV.
type billRow struct {
	Month    string `json:"month"`
	Scope    string `json:"scope"`
	Currency string `json:"currency"`
	billLine
}

func billCommand(c *ctl) *cobra.Command {
	var month, by, file string
	var mine bool
	cmd := &cobra.Command{
		Use:   "bill [--month YYYY-MM] [--by group|user|label:KEY] [--mine] [--config FILE]",
		Short: "Show what a month costs, by group, user or label",
		Long: `Show what the processes that ended in a month cost, by group, user or a label of
groups, at the prices of the configuration file; see elsa.yaml(5). Every process
is charged once: the cost of one that is in several groups is divided equally
among them, so the lines add up to the total, which is that of the machine. What
no group has is (ungrouped), and what loss hides is (unattributed).

Months are those of UTC, since older sums are kept by the UTC day; that which
runs is billed so far. A process is charged when it ends, with all it used, or
when it leaves a group. Amounts are rounded once for each line, half away from
zero, and sums are those of the rounded ones. Names, labels and prices are those
of now. There is no price for memory: how much was used for how long is not
known.

The bill of the machine is for root and members of the unix group elsa; with
--mine everybody sees that of their own processes.`,
		Example: `  elsactl bill --month 2026-11 --by label:team
  elsactl bill --by user -o csv`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			first, next, err := monthOf(month, time.Now())
			if err != nil {
				return err
			}
			key, labelled := strings.CutPrefix(by, "label:")
			switch {
			case by == "group", by == "user":
				key = ""
			case !labelled, key == "":
				return badUsage("unknown --by %q; use group, user or label:KEY", by)
			}
			prices, err := readPrices(file)
			if err != nil {
				return err
			}
			r, labels, err := c.billed(cmd, first, next, mine)
			if err != nil {
				return err
			}
			b := price.NewBill(prices)
			for i := range r.Rows {
				addRow(b, &r.Rows[i], by, key, labels)
			}
			lines, total := b.Lines()
			out := monthBill{Month: first.Format("2006-01"), Since: r.Since, Until: r.Until, By: by, Currency: prices.Currency, Lines: []billLine{}, Total: moneyLine(total, prices.Digits)}
			rows := []billRow{}
			for _, l := range lines {
				out.Lines = append(out.Lines, moneyLine(l, prices.Digits))
			}
			for _, l := range out.Lines {
				rows = append(rows, billRow{out.Month, by, out.Currency, l})
			}
			rows = append(rows, billRow{out.Month, "total", out.Currency, out.Total})
			return c.printAs(out, rows, func() { c.billTable(&out) })
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	f.StringVar(&month, "month", "", "bill the month `YYYY-MM` of UTC, without it the one that runs")
	f.StringVar(&by, "by", "group", "make a line for each `WHAT`: group, user or label:KEY")
	f.BoolVar(&mine, "mine", false, "bill your own processes alone")
	f.StringVar(&file, "config", config.DefaultFile, "read prices from `FILE`")
	cmd.RegisterFlagCompletionFunc("by", cobra.FixedCompletions([]string{"group", "user", "label:"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("month", cobra.NoFileCompletions)
	return cmd
}

// monthOf are the first moments of a month of UTC and of the next one.
func monthOf(s string, now time.Time) (first, next time.Time, err error) {
	first, next = config.Month(now)
	if s != "" {
		if first, err = time.Parse("2006-01", s); err != nil {
			return first, next, badUsage("--month %q is no month; use YYYY-MM, as in 2026-03", s)
		}
	}
	if first.After(now) {
		return first, next, badUsage("--month %s is in the future", s)
	}
	return first, first.AddDate(0, 1, 0), nil
}

// readPrices reads the prices of a configuration file; without any there is no bill.
func readPrices(file string) (*price.List, error) {
	s, err := config.ReadSections(file)
	if err != nil {
		return nil, err
	}
	prices, err := price.Parse(s.Prices)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read prices in %s: %w", file, err)
	case prices.Empty():
		return nil, fmt.Errorf("%s has no prices; give some, as in prices: {currency: EUR, list: [{cpu-hour: 0.05}]}", file)
	}
	return prices, nil
}

// billed asks what sets of groups and users used in a month, and the labels of groups.
func (c *ctl) billed(cmd *cobra.Command, first, next time.Time, mine bool) (client.Report, map[string]map[string]string, error) {
	stop := c.waiting("adding up the history")
	defer stop()
	cl := c.client()
	gs, err := cl.Groups(cmd.Context())
	if err != nil {
		return client.Report{}, nil, err
	}
	labels := make(map[string]map[string]string, len(gs))
	for _, g := range gs {
		labels[g.Name] = g.Labels
	}
	r, err := cl.Report(cmd.Context(), client.ReportQuery{By: "set", Since: first, Until: next, Mine: mine})
	switch {
	case err != nil:
	case !r.Since.Before(next):
		err = fmt.Errorf("nothing is known of %s: accounts begin at %s", first.Format("2006-01"), clock(r.Since))
	case r.Since.After(first):
		stop()
		fmt.Fprintf(c.stderr, "elsactl: the bill has nothing from before %s, when accounts begin\n", clock(r.Since))
	}
	return r, labels, err
}

// addRow puts what a set of groups and a user used on the lines that it belongs to.
func addRow(b *price.Bill, r *client.ReportRow, by, key string, labels map[string]map[string]string) {
	used := [price.Kinds]decimal.Decimal{
		price.CPUHour:   decimal.NewFromFloat(r.CPUSeconds).Round(9),
		price.ReadGB:    decimal.NewFromUint64(r.ReadBytes),
		price.WrittenGB: decimal.NewFromUint64(r.WriteBytes),
	}
	row := client.ReportRow{UID: r.UID}
	user := rowName("user", &row)
	gs := r.Groups
	if len(gs) == 0 {
		gs = []string{""}
	}
	for _, g := range gs {
		name := g
		switch {
		case by == "user":
			name = user
		case r.Unattributed:
			name = "(unattributed)"
		case g == "":
			name = "(ungrouped)"
		case key != "":
			var has bool
			if name, has = labels[g][key]; !has {
				name = "(no " + key + ")"
			}
		}
		b.Add(name, used, price.What{Group: g, Labels: labels[g], User: user}, len(gs))
	}
}

func moneyLine(l price.Line, digits int32) billLine {
	quantity := func(k price.Kind) json.Number { return json.Number(l.Quantity[k].StringFixed(6)) }
	amount := func(d decimal.Decimal) json.Number { return json.Number(d.StringFixed(digits)) }
	return billLine{
		Name: l.Name, CPUHours: quantity(price.CPUHour), CPUAmount: amount(l.Amount[price.CPUHour]),
		ReadGB: quantity(price.ReadGB), ReadAmount: amount(l.Amount[price.ReadGB]),
		WrittenGB: quantity(price.WrittenGB), WrittenAmount: amount(l.Amount[price.WrittenGB]), Amount: amount(l.Sum),
	}
}

func (c *ctl) billTable(b *monthBill) {
	fmt.Fprintf(c.stdout, "%s, from %s to %s UTC\n", b.Month, b.Since.UTC().Format(time.DateTime), b.Until.UTC().Format(time.DateTime))
	head, _, _ := strings.Cut(b.By, ":")
	amount := strings.TrimSpace("AMOUNT " + b.Currency)
	t := newTable(strings.ToUpper(head), "CPU HOURS>", "COST>", "READ GB>", "COST>", "WRITTEN GB>", "COST>", amount+">")
	row := func(name string, l *billLine) {
		short := func(n json.Number) string { return decimal.RequireFromString(string(n)).StringFixed(3) }
		t.row(name, short(l.CPUHours), string(l.CPUAmount), short(l.ReadGB), string(l.ReadAmount), short(l.WrittenGB), string(l.WrittenAmount), string(l.Amount))
	}
	for i := range b.Lines {
		row(b.Lines[i].Name, &b.Lines[i])
	}
	row("(total)", &b.Total)
	t.write(c.stdout)
}
