// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"elsa/internal/archive"
	"elsa/internal/progress"
	"elsa/internal/query"
	"elsa/pkg/client"
)

// maxState bounds what elsad says that groups have.
const maxState = 256 << 20

// fillCommand is what elsactl group fill runs.
func fillCommand(o *options) *cobra.Command {
	var text, group string
	cmd := &cobra.Command{
		Use: "fill --query JSON --group NAME", Short: "Say what a group takes of the archive, for elsactl group fill", Hidden: true, Args: cobra.NoArgs,
		Long: "Read what groups have, as GET /v1/fill answers, and write the requests that let a group take the rest.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := parse([]byte(text))
			if err != nil {
				return err
			}
			var st client.FillState
			if err := json.NewDecoder(io.LimitReader(cmd.InOrStdin(), maxState)).Decode(&st); err != nil {
				return fmt.Errorf("read what groups have: %w", err)
			}
			return o.fill(q, group, &st)
		},
	}
	cmd.Flags().StringVar(&text, "query", "{}", "the question, as JSON")
	cmd.Flags().StringVar(&group, "group", "", "the group")
	return cmd
}

func (o *options) fill(q *query.Query, group string, st *client.FillState) error {
	d, err := os.Open(o.dir)
	if errors.Is(err, os.ErrPermission) {
		return errors.New("fill group: only root and members of the unix group elsa can read the archive")
	}
	if err != nil {
		return fmt.Errorf("read archive: %w; is elsad's --journal on?", err)
	}
	d.Close()
	bad := 0
	line := progress.New(o.stderr)
	x := archive.Scanner{
		Dir: o.dir,
		Damage: func(err error) {
			bad++
			line.Clear()
			fmt.Fprintf(o.stderr, "elsa-archive: %v\n", err)
		},
		Progress: func(done, all int64) {
			line.Show(func() string { return "elsa-archive: read " + progress.Amount(done, all) })
		},
	}
	err = x.Fill(q, group, st, o.stdout)
	line.Clear()
	if err == nil && bad > 0 {
		err = errors.New("what is damaged, named above, is left out")
	}
	return err
}
