// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"elsa/pkg/groups"
)

// Bounds on what one request may carry.
const (
	maxBody       = 1 << 20
	maxLabels     = 64
	maxLabelKey   = 128
	maxLabelValue = 1024
)

// readJSON reads one JSON object from the body of r into q, strictly, and has
// check look at its form. Every error is a 4xx [Error].
func readJSON[T any](r *http.Request, q *T, check func(*T) error) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(q)
	if err == nil {
		// Anything after the object is a mistake too.
		if _, err = dec.Token(); err == io.EOF {
			err = nil
		} else if err == nil {
			err = errors.New("more follows after the object")
		}
	}
	var tooBig *http.MaxBytesError
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
	case errors.As(err, &tooBig):
		return newError(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", []any{tooBig.Limit})
	case errors.As(err, &wrong) && wrong.Field != "":
		return BadRequest("bad JSON: %s is a JSON %s; it must be of type %v", wrong.Field, wrong.Value, wrong.Type)
	case err == io.EOF:
		return BadRequest("the body is empty; a JSON object is needed")
	default:
		return BadRequest("bad JSON: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if err := check(q); err != nil {
		return BadRequest("%v", err)
	}
	return nil
}

// nothing is the request that has no fields.
type nothing struct{}

func checkNothing(*nothing) error { return nil }

func checkCreate(q *CreateGroupRequest) error {
	if err := groups.CheckName(q.Name); err != nil {
		return err
	}
	return checkLabels(q.Labels)
}

func checkJoin(q *JoinRequest) error {
	if q.Group != "" {
		if err := groups.CheckName(q.Group); err != nil {
			return err
		}
	}
	return checkLabels(q.Labels)
}

func checkLabels(labels map[string]string) error {
	if len(labels) > maxLabels {
		return fmt.Errorf("bad labels: %d of them; use at most %d", len(labels), maxLabels)
	}
	for k, v := range labels {
		switch {
		case k == "" || len(k) > maxLabelKey:
			return fmt.Errorf("bad label %.20q: its key is %d bytes; use 1-%d", k, len(k), maxLabelKey)
		case strings.Contains(k, "=") || !printable(k):
			return fmt.Errorf("bad label %q: its key may not hold = or control characters", k)
		case len(v) > maxLabelValue:
			return fmt.Errorf("bad label %q: its value is %d bytes; use at most %d", k, len(v), maxLabelValue)
		case !printable(v):
			return fmt.Errorf("bad label %q: its value may not hold control characters", k)
		}
	}
	return nil
}

// printable is false for what would upset a terminal or a metrics page.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func checkRemove(q *RemoveRequest) error { return checkPIDs(q.PIDs) }

func checkAdd(q *AddRequest) error {
	if q.LivingOf == nil {
		return checkPIDs(q.PIDs)
	}
	if len(q.PIDs) > 0 {
		return errors.New("bad pids: use these or living_of, not both")
	}
	return checkPIDs([]int{q.LivingOf.PID})
}

func checkPIDs(pids []int) error {
	if len(pids) == 0 {
		return errors.New("bad pids: at least one is needed")
	}
	for _, pid := range pids {
		if pid < 1 || pid > math.MaxInt32 {
			return fmt.Errorf("bad pid %d: a process id is a positive number", pid)
		}
	}
	return nil
}
