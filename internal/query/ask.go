// SPDX-License-Identifier: Apache-2.0

package query

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
)

// Ask sends a question to elsa-archive, which listens at a unix socket, and returns its
// answer as it comes: the caller reads and closes its body, before ctx is done. path is
// that of the kind of answer.
func Ask(ctx context.Context, socket, path string, q *Query) (*http.Response, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://elsa-archive"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	return client.Do(r)
}
