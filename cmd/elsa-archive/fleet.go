// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"elsa/internal/fleet"
	"elsa/internal/query"
	"elsa/internal/ship"
)

// fleetCommand is what elsactl report --from and elsactl fleet run.
func fleetCommand(o *options) *cobra.Command {
	var from, text string
	var read bool
	cmd := &cobra.Command{Use: "fleet", Short: "Answer questions about all hosts, for elsactl", Hidden: true}
	report := &cobra.Command{
		Use: "report", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := &query.Fleet{}
			d := json.NewDecoder(bytes.NewReader([]byte(text)))
			d.DisallowUnknownFields()
			if err := d.Decode(q); err != nil {
				return fmt.Errorf("read question: %w", err)
			}
			if err := q.Check(); err != nil {
				return err
			}
			r, err := o.reader(from)
			if err != nil {
				return err
			}
			out, err := r.Report(cmd.Context(), q)
			if err != nil {
				return err
			}
			return o.answer(out)
		},
	}
	report.Flags().StringVar(&text, "query", "{}", "the question, as JSON")
	status := &cobra.Command{
		Use: "status", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := o.reader(from)
			if err != nil {
				return err
			}
			bad, tell := 0, r.Damage
			r.Damage = func(err error) { bad++; tell(err) }
			hosts, c, err := r.Status(cmd.Context(), read)
			if err != nil {
				return err
			}
			if err := o.answer(&query.FleetStatus{Hosts: hosts, Fleet: c}); err != nil {
				return err
			}
			if bad > 0 && read {
				return errors.New("what is there is not what was sent, as named above; each host sends again what it finds so")
			}
			return nil
		},
	}
	status.Flags().BoolVar(&read, "read", false, "read every file")
	cmd.PersistentFlags().StringVar(&from, "from", "", "a directory, or s3://BUCKET/PREFIX")
	cmd.AddCommand(report, status)
	return cmd
}

func (o *options) reader(from string) (*fleet.Reader, error) {
	sink, err := ship.Open(from)
	if err != nil {
		return nil, err
	}
	return &fleet.Reader{Sink: sink, Now: time.Now, Damage: func(err error) { fmt.Fprintf(o.stderr, "elsa-archive: %v\n", err) }}, nil
}

func (o *options) answer(v any) error {
	enc := json.NewEncoder(o.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
