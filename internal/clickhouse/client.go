// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
)

// settings hold for all that is asked. What the server says is a status with the whole
// answer, not a line somewhere in it.
var settings = map[string]string{"wait_end_of_query": "1"}

// Settings of inserts. Identity is in the sorting keys, so what is sent twice is there
// once; a window in which the server forgets what it takes for a repetition would only
// swallow what is sent again after it was lost.
var (
	together = map[string]string{"async_insert": "1", "wait_for_async_insert": "1", "insert_deduplicate": "0", "distributed_foreground_insert": "1"}
	alone    = map[string]string{"async_insert": "0", "insert_deduplicate": "0", "distributed_foreground_insert": "1"}
)

// A source is on one shard: what is asked in a condition is asked there.
var reading = map[string]string{"distributed_product_mode": "local", "do_not_merge_across_partitions_select_final": "1"}

// Exec runs a statement that has no answer.
func (c *Client) Exec(ctx context.Context, sql string) error {
	return c.do(ctx, nil, "", []byte(sql), func(r io.Reader) error { return nil })
}

// Insert inserts rows: sql ends with FORMAT and the format of body. With gather the
// server makes one part of the inserts of several hosts.
func (c *Client) Insert(ctx context.Context, sql string, body []byte, gather bool) error {
	with := alone
	if gather {
		with = together
	}
	return c.do(ctx, with, sql, body, func(io.Reader) error { return nil })
}

// Query asks, and hands each row of the answer to row, which reads all its columns.
func (c *Client) Query(ctx context.Context, sql string, row func(*Row) error) error {
	return c.do(ctx, reading, "", []byte(sql+" FORMAT RowBinary"), func(body io.Reader) error {
		r := &Row{in: bufio.NewReaderSize(body, 64<<10)}
		for {
			if _, err := r.in.Peek(1); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return c.failed(err)
			}
			err := row(r)
			if r.err != nil { // it is cut off, or has other columns
				return c.failed(r.err)
			}
			if err != nil {
				return err
			}
		}
	})
}

// do sends a request, whose statement is in the address if query is not empty, and else
// in the body.
func (c *Client) do(ctx context.Context, with map[string]string, query string, body []byte, read func(io.Reader) error) error {
	u := c.url
	values := url.Values{"database": {c.database}}
	for _, all := range []map[string]string{settings, with} {
		for k, v := range all {
			values.Set(k, v)
		}
	}
	if query != "" {
		values.Set("query", query)
	}
	u.RawQuery = values.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return c.failed(err)
	}
	req.Header.Set("User-Agent", "elsa-archive")
	if c.authorization != "" {
		req.Header.Set("Authorization", c.authorization)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.failed(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 8<<10))
		return c.refused(res, string(text))
	}
	if err := read(res.Body); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil { // cut off
		return c.failed(err)
	}
	return nil
}

// Quote is a text as it stands in a statement.
func Quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// List is texts as they stand in a statement, in brackets. It is never empty.
func List(texts []string) string {
	if len(texts) == 0 {
		return "('')"
	}
	quoted := make([]string, len(texts))
	for i, s := range texts {
		quoted[i] = Quote(s)
	}
	return "(" + strings.Join(quoted, ", ") + ")"
}

// Row reads the columns of a row, in the format RowBinary: numbers with the least byte
// first, texts after their length. What cannot be read is told by [Client.Query].
type Row struct {
	in  *bufio.Reader
	err error
}

// maxText and maxList bound a text and a list of an answer.
const (
	maxText = 1 << 20
	maxList = 1 << 20
)

// Err is what was wrong with the answer so far. [Client.Query] looks at it, too.
func (r *Row) Err() error { return r.err }

func (r *Row) number(bytes int) (n uint64) {
	var b [8]byte
	if r.err == nil {
		_, r.err = io.ReadFull(r.in, b[:bytes])
	}
	if r.err != nil {
		return 0
	}
	for i := bytes - 1; i >= 0; i-- {
		n = n<<8 | uint64(b[i])
	}
	return n
}

func (r *Row) length(most uint64) (n uint64) {
	for shift := 0; shift < 64; shift += 7 {
		b := r.number(1)
		n |= b & 0x7f << shift
		if b < 0x80 {
			break
		}
	}
	if n > most && r.err == nil {
		r.err = fmt.Errorf("a text or list of %d in an answer", n)
	}
	if r.err != nil {
		return 0
	}
	return n
}

// U8 reads a UInt8 or Bool.
func (r *Row) U8() uint8 { return uint8(r.number(1)) }

// U32 reads a UInt32, or a DateTime: seconds since 1970.
func (r *Row) U32() uint32 { return uint32(r.number(4)) }

// U64 reads a UInt64.
func (r *Row) U64() uint64 { return r.number(8) }

// I64 reads an Int64, or a DateTime64(9): nanoseconds since 1970.
func (r *Row) I64() int64 { return int64(r.number(8)) }

// F64 reads a Float64.
func (r *Row) F64() float64 { return math.Float64frombits(r.number(8)) }

// Text reads a String.
func (r *Row) Text() string {
	b := make([]byte, r.length(maxText))
	if r.err == nil {
		_, r.err = io.ReadFull(r.in, b)
	}
	return string(b)
}

// Texts reads an Array(String).
func (r *Row) Texts() []string { return list(r, (*Row).Text) }

// U32s reads an Array(UInt32) or Array(DateTime).
func (r *Row) U32s() []uint32 { return list(r, (*Row).U32) }

// U64s reads an Array(UInt64).
func (r *Row) U64s() []uint64 { return list(r, (*Row).U64) }

func list[T any](r *Row, read func(*Row) T) (all []T) {
	for n := r.length(maxList); n > 0 && r.err == nil; n-- {
		all = append(all, read(r))
	}
	return all
}
