// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"elsa/internal/query"
)

// lifeTimeout is how long the page waits for the archive.
const lifeTimeout = 30 * time.Second

// askArchive returns what asks elsa-archive, at its socket, for the life of a group. It
// is another user's, so that its answer is bounded, and checked.
func askArchive(socket string) func(context.Context, *query.Query) (*query.Life, error) {
	return func(ctx context.Context, q *query.Query) (*query.Life, error) {
		ctx, cancel := context.WithTimeout(ctx, lifeTimeout)
		defer cancel()
		answer, err := query.Ask(ctx, socket, "/v1/life", q)
		if err != nil {
			return nil, fmt.Errorf("ask elsa-archive at %s: %w; is it running? (systemctl enable --now elsa-archive)", socket, cause(err))
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(io.LimitReader(answer.Body, query.MaxLife+1))
		switch {
		case err != nil:
			return nil, fmt.Errorf("ask elsa-archive at %s: %w", socket, err)
		case answer.StatusCode != http.StatusOK:
			return nil, fmt.Errorf("ask elsa-archive at %s: %.300s", socket, bytes.TrimSpace(text))
		case len(text) > query.MaxLife:
			return nil, fmt.Errorf("ask elsa-archive at %s: the answer has more than %d bytes", socket, query.MaxLife)
		}
		l := &query.Life{}
		if err := json.Unmarshal(text, l); err != nil {
			return nil, fmt.Errorf("ask elsa-archive at %s: %w", socket, err)
		}
		return l, l.Check()
	}
}

// cause is an error without the address that no person asked for.
func cause(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	return err
}
