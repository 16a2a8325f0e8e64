// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"elsa/internal/archive"
	"elsa/internal/progress"
	"elsa/internal/query"
)

// queryCommand is what elsactl processes runs.
func queryCommand(o *options) *cobra.Command {
	var text, from string
	cmd := &cobra.Command{
		Use: "query --query JSON", Short: "Answer one question, for elsactl processes", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := parse([]byte(text), (*query.Query).Check)
			if err != nil {
				return err
			}
			if from != "" {
				return o.fleetQuery(cmd.Context(), q, from)
			}
			return o.query(cmd.Context(), q)
		},
	}
	cmd.Flags().StringVar(&text, "query", "{}", "the question, as JSON")
	cmd.Flags().StringVar(&from, "from", "", "ask of all hosts: a directory, s3://BUCKET/PREFIX, or clickhouse://HOST/DATABASE")
	return cmd
}

// fleetQuery answers from what all hosts delivered.
func (o *options) fleetQuery(ctx context.Context, q *query.Query, from string) error {
	bad := 0
	r, _, err := o.reader(from, func(err error) { bad++; o.tell(err) })
	if err == nil {
		err = r.Processes(ctx, q, o.stdout)
	}
	if err == nil && bad > 0 {
		err = errors.New("the answer is without what is damaged or missing, named above")
	}
	return err
}

// parse reads a question and has it checked.
func parse(b []byte, check func(*query.Query) error) (*query.Query, error) {
	q := &query.Query{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(q); err != nil {
		return nil, fmt.Errorf("read question: %w", err)
	}
	if err := check(q); err != nil {
		return nil, err
	}
	return q, archive.CheckWhere(q.Where)
}

// query answers from the files, or, where they may not be read, lets the service answer,
// who tells of the asker's own processes, and members of group elsa of all.
func (o *options) query(ctx context.Context, q *query.Query) error {
	bad := 0
	damage := func(err error) {
		bad++
		fmt.Fprintf(o.stderr, "elsa-archive: %v\n", err)
	}
	d, err := os.Open(o.dir)
	switch {
	case errors.Is(err, os.ErrPermission):
		err = o.askService(ctx, q, damage)
	case err != nil:
		return fmt.Errorf("read archive: %w; is elsad's --journal on?", err)
	default:
		d.Close()
		line := progress.New(o.stderr)
		x := archive.Scanner{Dir: o.dir, Damage: damage, Progress: func(done, all int64) {
			line.Show(func() string { return "elsa-archive: read " + progress.Amount(done, all) })
		}}
		err = x.Run(q, o.stdout)
		line.Clear()
	}
	if err == nil && bad > 0 {
		err = errors.New("the answer is without what is damaged, named above")
	}
	return err
}

// trailer names, one after the other, what the service could not read.
const trailer = "Elsa-Damage"

func (o *options) askService(ctx context.Context, q *query.Query, damage func(error)) error {
	res, err := query.Ask(ctx, o.socket, "/v1/processes", q)
	if err != nil {
		return fmt.Errorf("ask elsa-archive.service: %w; only root can read the archive without it", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(res.Body, 1000))
		return fmt.Errorf("ask elsa-archive.service: %s", bytes.TrimSpace(b))
	}
	if _, err := io.Copy(o.stdout, res.Body); err != nil {
		return fmt.Errorf("ask elsa-archive.service: the answer is cut off: %w", err)
	}
	for _, d := range res.Trailer.Values(trailer) {
		damage(errors.New(d))
	}
	return nil
}
