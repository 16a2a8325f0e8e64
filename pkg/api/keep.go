// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"elsa/pkg/groups"
)

func renameGroup(s Service, c Caller, r *http.Request) (int, any, error) {
	return onGroup(r, checkRename, func(ctx context.Context, name string, q RenameRequest) (Group, error) {
		return s.RenameGroup(ctx, c, name, q)
	})
}

func mergeGroup(s Service, c Caller, r *http.Request) (int, any, error) {
	return onGroup(r, checkMerge, func(ctx context.Context, name string, q MergeRequest) (Group, error) {
		return s.MergeGroup(ctx, c, name, q)
	})
}

func labelGroup(s Service, c Caller, r *http.Request) (int, any, error) {
	return onGroup(r, checkLabel, func(ctx context.Context, name string, q LabelRequest) (Group, error) {
		return s.LabelGroup(ctx, c, name, q)
	})
}

func closeGroup(s Service, c Caller, r *http.Request) (int, any, error) {
	return onGroup(r, checkNothing, func(ctx context.Context, name string, _ nothing) (Group, error) {
		return s.CloseGroup(ctx, c, name)
	})
}

func reopenGroup(s Service, c Caller, r *http.Request) (int, any, error) {
	return onGroup(r, checkNothing, func(ctx context.Context, name string, _ nothing) (Group, error) {
		return s.ReopenGroup(ctx, c, name)
	})
}

// onGroup reads a request that is about the group in the path, and answers with that
// group. One that says nothing needs no body; {} is harmless.
func onGroup[T any](r *http.Request, check func(*T) error, do func(context.Context, string, T) (Group, error)) (int, any, error) {
	name, err := groupName(r)
	if err != nil {
		return 0, nil, err
	}
	var q T
	if _, silent := any(q).(nothing); !silent || r.ContentLength != 0 {
		if err := readJSON(r, &q, check); err != nil {
			return 0, nil, err
		}
	}
	g, err := do(r.Context(), name, q)
	return http.StatusOK, g, err
}

func checkRename(q *RenameRequest) error { return groups.CheckName(q.Name) }
func checkMerge(q *MergeRequest) error   { return groups.CheckName(q.From) }

func checkLabel(q *LabelRequest) error {
	switch {
	case len(q.Set)+len(q.Remove) == 0:
		return errors.New("bad labels: there is none to set or to remove")
	case len(q.Remove) > maxLabels:
		return fmt.Errorf("bad labels: %d to remove; use at most %d", len(q.Remove), maxLabels)
	}
	return checkLabels(q.Set)
}

// Relabel is what the labels of a group are after a request; have is not changed. The
// error is a 400 [Error]: they would be too many.
func Relabel(have map[string]string, q LabelRequest) (map[string]string, error) {
	labels := make(map[string]string, len(have)+len(q.Set))
	for k, v := range have {
		labels[k] = v
	}
	for _, k := range q.Remove {
		delete(labels, k)
	}
	for k, v := range q.Set {
		labels[k] = v
	}
	if len(labels) > maxLabels {
		return nil, BadRequest("bad labels: the group would have %d of them; use at most %d", len(labels), maxLabels)
	}
	return labels, nil
}
