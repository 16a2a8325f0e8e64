// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"elsa/internal/config"
	"elsa/pkg/client"
)

// budgetRow is what a group used of its budget.
type budgetRow struct {
	Month string `json:"month"`
	Group string `json:"group"`
	// UsedSeconds and BudgetSeconds are CPU time. Ratio is the first over the second.
	UsedSeconds   float64 `json:"used_seconds"`
	BudgetSeconds float64 `json:"budget_seconds"`
	Ratio         float64 `json:"ratio"`
}

func budgetCommand(c *ctl) *cobra.Command {
	var month, file string
	cmd := &cobra.Command{
		Use:   "budget [--month YYYY-MM] [--config FILE]",
		Short: "Show what groups used of their budgets",
		Long: `Show what groups used in a month of the CPU time that the budgets of the
configuration file give them; see elsa.yaml(5). Months are those of UTC. A
process counts when it ends, with all it used, or when it leaves the group. A
budget for a parent (ci/) is for all groups below it together.`,
		Example: "  elsactl budget -o json | jq '.[] | select(.ratio > 0.8)'",
		Args:    between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			first, next, err := monthOf(month, time.Now())
			if err != nil {
				return err
			}
			s, err := config.ReadSections(file)
			if err != nil {
				return err
			}
			if len(s.Budgets) == 0 {
				return fmt.Errorf("%s has no budgets; give some, as in budgets: [{group: ci, cpu: 100h}]", file)
			}
			stop := c.waiting("adding up the history")
			rows, err := c.budgets(cmd.Context(), s.Budgets, first, next)
			stop()
			if err != nil {
				return err
			}
			return c.print(rows, func() {
				t := newTable("GROUP", "USED>", "BUDGET>", "OF IT>")
				for _, r := range rows {
					t.row(r.Group, fmt.Sprintf("%.2f h", r.UsedSeconds/3600), fmt.Sprintf("%.2f h", r.BudgetSeconds/3600), fmt.Sprintf("%.1f %%", 100*r.Ratio))
				}
				t.write(c.stdout)
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&month, "month", "", "show the month `YYYY-MM` of UTC, without it the one that runs")
	cmd.Flags().StringVar(&file, "config", config.DefaultFile, "read budgets from `FILE`")
	cmd.RegisterFlagCompletionFunc("month", cobra.NoFileCompletions)
	return cmd
}

// budgets asks what groups used in a month, those that used most of their budgets
// first.
func (c *ctl) budgets(ctx context.Context, list []config.Budget, first, next time.Time) ([]budgetRow, error) {
	cl := c.client()
	gs, err := cl.Groups(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(gs))
	for i := range gs {
		names[i] = gs[i].Name
	}
	allowances := config.Allowances(list, names)
	questions := [][]string{nil} // all groups, and the parents
	for _, a := range allowances {
		if strings.HasSuffix(a.Name, "/") {
			questions = append(questions, []string{a.Name})
		}
	}
	used := map[string]float64{}
	for _, q := range questions {
		r, err := cl.Report(ctx, client.ReportQuery{Groups: q, Since: first, Until: next})
		if err != nil {
			return nil, err
		}
		for i := range r.Rows {
			used[r.Rows[i].Group] = r.Rows[i].CPUSeconds
		}
	}
	rows := []budgetRow{}
	for _, a := range allowances {
		limit := a.CPU.Seconds()
		rows = append(rows, budgetRow{first.Format("2006-01"), a.Name, used[a.Name], limit, used[a.Name] / limit})
	}
	slices.SortStableFunc(rows, func(a, b budgetRow) int {
		return cmp.Or(cmp.Compare(b.Ratio, a.Ratio), strings.Compare(a.Group, b.Group))
	})
	return rows, nil
}
