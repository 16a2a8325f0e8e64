// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"elsa/internal/clickhouse"
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
			r, _, err := o.reader(from, o.tell)
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
			bad := 0
			r, _, err := o.reader(from, func(err error) { bad++; o.tell(err) })
			if err != nil {
				return err
			}
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
	var host, since string
	resend := &cobra.Command{
		Use: "resend", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			at, err := time.Parse(time.RFC3339, since)
			if err != nil {
				return fmt.Errorf("read --since: %w", err)
			}
			r, place, err := o.reader(from, o.tell)
			if err != nil {
				return err
			}
			return o.resend(cmd.Context(), r, place, host, at)
		},
	}
	resend.Flags().StringVar(&host, "host", "", "the host, or the source")
	resend.Flags().StringVar(&since, "since", "", "what ended then or later")
	var schema clickhouse.SchemaOptions
	print := &cobra.Command{
		Use: "schema", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := clickhouse.Schema(schema)
			if err == nil {
				_, err = io.WriteString(o.stdout, text)
			}
			return err
		},
	}
	print.Flags().StringVar(&schema.Database, "database", "elsa", "the database")
	print.Flags().StringVar(&schema.Cluster, "cluster", "", "the cluster")
	print.Flags().BoolVar(&schema.Replicated, "replicated", false, "replicated tables")
	cmd.PersistentFlags().StringVar(&from, "from", "", "a directory, s3://BUCKET/PREFIX, or clickhouse://HOST/DATABASE")
	cmd.AddCommand(report, status, resend, print)
	return cmd
}

// resend asks the hosts of a name, or of a source, to send again.
func (o *options) resend(ctx context.Context, r reader, place ship.Place, host string, since time.Time) error {
	hosts, _, err := r.Status(ctx, false)
	if err != nil {
		return err
	}
	asked := 0
	for _, h := range hosts {
		if h.Host != host && h.Source != host {
			continue
		}
		if err := place.Ask(ctx, h.Source, ship.Request{ID: rand.Text(), Since: since.UTC()}); err != nil {
			return err
		}
		asked++
		fmt.Fprintf(o.stdout, "%s (%s) is asked to send again what ended since %s; it does so in its next round\n", h.Host, h.Source, since.UTC().Format(time.RFC3339))
	}
	if asked == 0 {
		return fmt.Errorf("there is no host %s: elsactl fleet status names them", host)
	}
	return nil
}

// reader answers questions about all hosts.
type reader interface {
	Report(context.Context, *query.Fleet) (*query.FleetReport, error)
	Status(ctx context.Context, read bool) ([]query.Host, query.Completeness, error)
	Processes(context.Context, *query.Query, io.Writer) error
}

// reader opens the place of an address. damage is told what is not as it should be.
func (o *options) reader(from string, damage func(error)) (reader, ship.Place, error) {
	place, err := ship.OpenPlace(from)
	if err != nil {
		return nil, nil, err
	}
	switch p := place.(type) {
	case ship.Tables:
		return &fleet.Tables{Place: p, Now: time.Now, Damage: damage}, p, nil
	case ship.Files:
		return &fleet.Reader{Sink: p.Sink, Now: time.Now, Damage: damage}, p, nil
	}
	return nil, nil, fmt.Errorf("read %T: it is no place of bills", place)
}

func (o *options) tell(err error) { fmt.Fprintf(o.stderr, "elsa-archive: %v\n", err) }

func (o *options) answer(v any) error {
	enc := json.NewEncoder(o.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
