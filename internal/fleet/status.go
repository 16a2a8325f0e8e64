// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"elsa/internal/cells"
	"elsa/internal/query"
	"elsa/internal/ship"
)

// Status says how far each host has delivered, by what is there of what it sent. With
// read every file is read, and compared with what was sent: rows, CPU time and bytes.
func (r *Reader) Status(ctx context.Context, read bool) ([]query.Host, query.Completeness, error) {
	none := query.Completeness{}
	manifests, err := ship.Files{Sink: r.Sink}.Manifests(ctx, "", r.Damage)
	if err != nil {
		return nil, none, err
	}
	all := sourcesOf(manifests)
	for id, s := range all {
		told, err := r.compare(ctx, s, read)
		for n := 0; err == nil && s.missing && n < tries; n++ { // was it replaced meanwhile?
			var now *source
			if now, err = r.again(ctx, s); err != nil || now == nil || now.last().Nonce == s.last().Nonce {
				break
			}
			s, all[id] = now, now
			told, err = r.compare(ctx, s, read)
		}
		if err != nil {
			return nil, none, err
		}
		for _, damage := range told {
			r.Damage(damage)
		}
	}
	hosts, c := statusOf(all, r.Now().UTC())
	return hosts, c, nil
}

// compare compares what a host says it sent with what is there, and tells what differs.
func (r *Reader) compare(ctx context.Context, s *source, read bool) (told []error, err error) {
	sizes, seen := map[string]int64{}, map[string]bool{}
	for _, i := range s.last().Items {
		dir := path.Dir(i.Name) + "/"
		if !seen[dir] {
			seen[dir] = true
			there, err := r.Sink.List(ctx, dir)
			if err != nil {
				return nil, err
			}
			for _, o := range there {
				sizes[o.Name] = o.Size
			}
		}
		size, ok := sizes[i.Name]
		var bad error
		if ok && size == i.Size && read {
			if bad = r.check(ctx, &i); bad != nil && ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
		switch {
		case !ok, errors.Is(bad, fs.ErrNotExist):
			told = append(told, fmt.Errorf("%s: %s is not there", s.host, i.Name))
			s.missing = true
			if i.Hour != 0 {
				s.lack(i.Hour)
			}
		case size != i.Size:
			told = append(told, fmt.Errorf("%s: %s has %d bytes, %d were sent", s.host, i.Name, size, i.Size))
			s.damaged = true
		case bad != nil:
			told = append(told, fmt.Errorf("%s: %w", s.host, bad))
			s.damaged = true
		}
	}
	return told, nil
}

// check reads a file and compares it with what was sent.
func (r *Reader) check(ctx context.Context, i *ship.Item) error {
	body, err := r.Sink.Get(ctx, i.Name)
	if err != nil {
		return err
	}
	if i.Hour != 0 {
		b, err := cells.Decode(body)
		if err != nil {
			return fmt.Errorf("%s: %w", i.Name, err)
		}
		if rows, cpu := uint64(len(b.Cells)), b.CPU(); rows != i.Rows || cpu != i.CPU {
			return fmt.Errorf("%s has %d rows and %d ns of CPU, %d and %d were sent", i.Name, rows, cpu, i.Rows, i.CPU)
		}
	}
	if ship.Checksum(body) != i.SHA256 {
		return fmt.Errorf("%s is not what was sent", i.Name)
	}
	return nil
}
